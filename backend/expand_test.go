package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func norm(t *testing.T, b backend.Backend) *backend.RMSNorm {
	x := []float64{3, 4}
	return &backend.RMSNorm{
		Y: upload(t, b, backend.F64, make([]float64, 2), 1, 2), Rstd: upload(t, b, backend.F64, []float64{0}, 1),
		X: upload(t, b, backend.F64, x, 1, 2), W: upload(t, b, backend.F64, []float64{1, 2}, 2),
	}
}

func TestDoDecomposesWhatIsMissingDownToCoreOps(t *testing.T) {
	b := without(newCPU(t), "LinearLogProb", "LogSumExp") // LinearLogProb decomposes into LogSumExp
	x := upload(t, b, backend.F64, []float64{1}, 1, 1)
	w := upload(t, b, backend.F64, []float64{0, 0, 0, 0}, 4, 1)
	target := upload(t, b, backend.I32, []float64{2}, 1)
	logProb, lse := upload(t, b, backend.F64, []float64{0}, 1), upload(t, b, backend.F64, []float64{0}, 1)
	buffers := b.buffers
	err := backend.Do(b, &backend.LinearLogProb{LogProb: logProb, LSE: lse, X: x, W: backend.MatrixOf(w.T()),
		Target: target, InvTemp: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := values(t, b, logProb)[0]; got < -1.3862944 || got > -1.3862943 { // −log 4
		t.Errorf("log-probability %v, want −log 4", got)
	}
	if b.buffers != buffers {
		t.Errorf("%d temporaries are left", b.buffers-buffers)
	}
}

func TestDoNamesTheCoreOpThatIsMissing(t *testing.T) {
	b := without(newCPU(t), "RMSNorm", "Sqrt")
	op := norm(t, b)
	buffers := b.buffers
	if err := backend.Do(b, op); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Sqrt") {
		t.Errorf("error %v, want ErrUnsupported that names Sqrt", err)
	}
	if b.buffers != buffers {
		t.Errorf("%d temporaries are left", b.buffers-buffers)
	}
	if err := backend.Do(b, &backend.Unary{Y: op.Y, X: op.X, Fn: backend.Sqrt}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a core op that is missing: error %v", err)
	}
}

// starved is a backend on which every allocation fails.
type starved struct{ *lacking }

func (starved) Alloc(int) (backend.Buffer, error) { return nil, errors.New("out of memory") }

func TestExpandReportsMissingMemory(t *testing.T) {
	b := without(newCPU(t))
	x := upload(t, b, backend.F64, []float64{1, 2}, 1, 2)
	if err := backend.Expand(starved{b}, &backend.SwiGLU{Y: x, Gate: x, Up: x}); err == nil ||
		!strings.Contains(err.Error(), "out of memory") {
		t.Errorf("error %v, want out of memory", err)
	}
}
