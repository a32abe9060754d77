package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestTraceWritesOpsWithOperandsAndErrors(t *testing.T) {
	b := without(newCPU(t), "Exp")
	var text strings.Builder
	traced := backend.Trace(b, &text)
	x := upload(t, traced, backend.F32, make([]float64, 12), 3, 4)
	y := upload(t, traced, backend.F32, make([]float64, 6), 2, 3)
	do(t, traced, &backend.Copy{Dst: y, Src: x.Slice(1, 0, 2).T()})
	if err := traced.Do(&backend.Unary{Y: y, X: y, Fn: backend.Exp}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error of the wrapped backend became %v", err)
	}
	want := `Copy write F32[2 3] read F32[2 3]/strides[1 4]
Exp write F32[2 3] read F32[2 3]: lacking: Exp (not here): unsupported operation
`
	if text.String() != want {
		t.Errorf("trace:\n%swant:\n%s", text.String(), want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTraceReportsThatItCannotWrite(t *testing.T) {
	traced := backend.Trace(newCPU(t), brokenWriter{})
	x := upload(t, traced, backend.F32, []float64{1}, 1)
	if err := traced.Do(&backend.Fill{Dst: x}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v, want one that says disk full", err)
	}
}
