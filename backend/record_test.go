package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
)

func TestProgramRunsItsOpsOnCurrentContents(t *testing.T) {
	b := newCPU(t)
	x := upload(t, b, backend.F32, []float64{1, 2}, 2)
	y := upload(t, b, backend.F32, []float64{0, 0}, 2)
	p, err := backend.Record(b, func(b backend.Backend) error {
		do(t, b, &backend.Unary{Y: y, X: x, Fn: backend.Affine, A: 10}, &backend.Binary{Y: y, A: y, B: x, Fn: backend.Add})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 2 {
		t.Errorf("%d ops recorded, want 2", p.Len())
	}
	if got := values(t, b, y); got[0] != 0 {
		t.Errorf("recording ran the ops: y = %v", got)
	}
	for _, in := range [][]float64{{1, 2}, {-3, 0.5}} {
		do(t, b, &backend.Copy{Dst: x, Src: upload(t, b, backend.F32, in, 2)})
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float64{11 * in[0], 11 * in[1]}, values(t, b, y)); diff != "" {
			t.Errorf("of %v (-want +got):\n%s", in, diff)
		}
	}
}

func TestRecordRefusesWhatAProgramCannotRepeat(t *testing.T) {
	b := newCPU(t)
	x := upload(t, b, backend.F32, []float64{1}, 1)
	for call, fn := range map[string]func(backend.Backend) error{
		"Upload":   func(b backend.Backend) error { return b.Upload(x.Buf, 0, make([]byte, 4)) },
		"Download": func(b backend.Backend) error { return b.Download(make([]byte, 4), x.Buf, 0) },
		"Sync":     func(b backend.Backend) error { return b.Sync() },
		"Exp":      func(b backend.Backend) error { return b.Do(&backend.Unary{Fn: backend.Exp, X: x}) },
	} {
		if _, err := backend.Record(b, fn); err == nil || !strings.Contains(err.Error(), call) {
			t.Errorf("%s while recording: error %v, want one that names it", call, err)
		}
	}
}

func TestProgramDecomposesWhatTheBackendLacks(t *testing.T) {
	b := without(newCPU(t), "SwiGLU")
	x := upload(t, b, backend.F64, []float64{1, -2}, 1, 2)
	y := upload(t, b, backend.F64, []float64{0, 0}, 1, 2)
	p, err := backend.Record(b, func(b backend.Backend) error { return b.Do(&backend.SwiGLU{Y: y, Gate: x, Up: x}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got := values(t, b, y)[0]; got < 0.7310585 || got > 0.7310587 { // σ(1)
		t.Errorf("SwiGLU(1, 1) = %v", got)
	}
}

func TestProgramStopsAtTheFirstError(t *testing.T) {
	b := without(newCPU(t), "Fill")
	x := upload(t, b, backend.F32, []float64{1}, 1)
	p, err := backend.Record(b, func(b backend.Backend) error {
		return errors.Join(b.Do(&backend.Fill{Dst: x}), b.Do(&backend.Unary{Y: x, X: x, Fn: backend.Affine, A: 5}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
	if got := values(t, b, x)[0]; got != 1 {
		t.Errorf("x = %v: ops ran after the failure", got)
	}
}
