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
	p.Free()
	p.Free()
	defer func() {
		if recover() == nil {
			t.Error("a freed program ran")
		}
	}()
	p.Run()
}

func TestRecordRefusesWhatAProgramCannotRepeat(t *testing.T) {
	b := newCPU(t)
	x := upload(t, b, backend.F32, []float64{1}, 1)
	for call, fn := range map[string]func(backend.Backend) error{
		"Upload":   func(b backend.Backend) error { return b.Upload(x.Buf, 0, make([]byte, 4)) },
		"Download": func(b backend.Backend) error { return b.Download(make([]byte, 4), x.Buf, 0) },
		"Sync":     func(b backend.Backend) error { return b.Sync() },
		"NewQueue": func(b backend.Backend) error { _, err := backend.NewQueue(b); return err },
		"NewEvent": func(b backend.Backend) error { _, err := backend.NewEvent(b); return err },
		"Wait":     func(b backend.Backend) error { return backend.Wait(b, nil) },
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

// Ops that the backend reports it lacks are decomposed. Several decompositions take no
// more temporaries than one, and they live until Free.
func TestRecordDecomposesWhatTheBackendReportsItLacks(t *testing.T) {
	count := without(newCPU(t))
	b := shy{backend.Decorator{Backend: telling{backend.Decorator{Backend: count}}}}
	op := norm(t, b)
	if err := backend.Do(b, op); err != nil {
		t.Fatal(err)
	}
	want := values(t, b, op.Y)
	buffers, one := count.buffers, 0
	for n := 1; n <= 3; n++ {
		do(t, b, &backend.Fill{Dst: op.Y})
		p, err := backend.Record(b, func(b backend.Backend) error {
			for range n {
				if err := b.Do(op); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := values(t, b, op.Y)[0]; got != 0 {
			t.Errorf("recording ran the ops: y = %v", got)
		}
		temps := count.buffers - buffers
		if n == 1 {
			one = temps
		}
		if temps != one || one == 0 || p.Len() < 4*n {
			t.Errorf("%d decompositions: %d ops, %d temporaries, want those of one, %d", n, p.Len(), temps, one)
		}
		for range 2 {
			do(t, b, &backend.Fill{Dst: op.Y})
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, values(t, b, op.Y)); diff != "" {
				t.Errorf("the program's bits differ from the direct run's (-want +got):\n%s", diff)
			}
			if count.buffers != buffers+temps {
				t.Errorf("%d buffers after a run, %d before", count.buffers, buffers+temps)
			}
		}
		p.Free()
		if count.buffers != buffers {
			t.Errorf("%d temporaries are left", count.buffers-buffers)
		}
	}
}

func TestAFailedRecordLeavesNoTemporaries(t *testing.T) {
	count := without(newCPU(t))
	b := shy{backend.Decorator{Backend: telling{backend.Decorator{Backend: count}}}}
	op := norm(t, b)
	buffers := count.buffers
	if _, err := backend.Record(b, func(b backend.Backend) error { return errors.Join(b.Do(op), b.Sync()) }); err == nil {
		t.Error("no error from Sync while recording")
	}
	if count.buffers != buffers {
		t.Errorf("%d temporaries are left", count.buffers-buffers)
	}
}

// telling reports that the wrapped backend, which is not a Supporter, has every op.
type telling struct{ backend.Decorator }

func (telling) Supports(string, backend.DType) bool { return true }

// capturing is a backend that captures programs, unless err is set, and counts them.
type capturing struct {
	backend.Backend
	err        error
	open, runs int
}

func (c *capturing) Capture(ops []backend.Op) (backend.Captured, error) {
	if c.err != nil {
		return nil, c.err
	}
	c.open++
	return &captured{c, ops}, nil
}

type captured struct {
	b   *capturing
	ops []backend.Op
}

func (c *captured) Run() error {
	c.b.runs++
	for _, op := range c.ops {
		if err := c.b.Do(op); err != nil {
			return err
		}
	}
	return nil
}

func (c *captured) Free() { c.b.open-- }

func TestProgramsAreCapturedWhereTheBackendCaptures(t *testing.T) {
	b := &capturing{Backend: newCPU(t)}
	x := upload(t, b, backend.F32, []float64{1}, 1)
	double := func(b backend.Backend) error {
		return b.Do(&backend.Unary{Y: x, X: x, Fn: backend.Affine, A: 2})
	}
	record := func(on backend.Backend) *backend.Program {
		t.Helper()
		p, err := backend.Record(on, double)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := record(b)
	for range 2 {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}
	if got := values(t, b, x)[0]; got != 4 || b.runs != 2 || b.open != 1 {
		t.Errorf("x = %v after %d runs of %d captured programs, want 4 after 2 of 1", got, b.runs, b.open)
	}
	if p.Free(); b.open != 0 {
		t.Errorf("%d captured programs are left", b.open)
	}

	// The ops of a decorated backend pass through the decorator, one by one.
	counter := &counted{Decorator: backend.Decorator{Backend: b}}
	if err := record(counter).Run(); err != nil {
		t.Fatal(err)
	}
	if counter.ops != 1 || b.runs != 2 {
		t.Errorf("the decorator saw %d ops, want 1", counter.ops)
	}

	b.err = backend.Unsupported(b, &backend.Unary{}, "not in a graph")
	if err := record(b).Run(); err != nil {
		t.Fatal(err)
	}
	if got := values(t, b, x)[0]; got != 16 || b.runs != 2 {
		t.Errorf("x = %v, want 16: a program that cannot be captured loops over its ops", got)
	}
	b.err = errors.New("out of graphs")
	if _, err := backend.Record(b, double); !errors.Is(err, b.err) {
		t.Errorf("error %v, want %v", err, b.err)
	}
}

func TestCapturedProgramsRefuseOutdatedOperands(t *testing.T) {
	b := &capturing{Backend: newCPU(t)}
	x := upload(t, b, backend.F32, []float64{1, 2}, 2)
	op := &backend.Fill{Dst: x}
	p, err := backend.Record(b, func(b backend.Backend) error { return b.Do(op) })
	if err != nil {
		t.Fatal(err)
	}
	op.Dst.Shape[0] = 3
	defer func() {
		if r := recover(); r == nil || b.runs != 0 {
			t.Errorf("a view past its buffer's end: panic %v, %d runs", r, b.runs)
		}
	}()
	t.Errorf("no panic; error %v", p.Run())
}
