package backend_test

import (
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
)

func newCPU(t testing.TB) backend.Backend {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// upload returns a contiguous view of a new buffer that holds x.
func upload(t testing.TB, b backend.Backend, dt backend.DType, x []float64, shape ...int) backend.View {
	t.Helper()
	mem := make([]byte, len(x)*dt.Size())
	for i, v := range x {
		dt.Put(mem, i, v)
	}
	buf, err := b.Alloc(len(mem))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(buf, 0, mem); err != nil {
		t.Fatal(err)
	}
	return backend.NewView(buf, dt, shape...)
}

func values(t testing.TB, b backend.Backend, v backend.View) []float64 {
	t.Helper()
	x, err := backend.Values(b, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// do runs ops and fails the test at the first error.
func do(t testing.TB, b backend.Backend, ops ...backend.Op) {
	t.Helper()
	for _, op := range ops {
		if err := b.Do(op); err != nil {
			t.Fatalf("%s: %v", op.Name(), err)
		}
	}
}

// lacking is a backend without the ops of the given names. It counts buffers.
type lacking struct {
	backend.Backend
	ops     map[string]bool
	buffers int
}

func without(b backend.Backend, ops ...string) *lacking {
	l := &lacking{Backend: b, ops: map[string]bool{}}
	for _, op := range ops {
		l.ops[op] = true
	}
	return l
}

func (l *lacking) Name() string { return "lacking" }

func (l *lacking) Do(op backend.Op) error {
	if l.ops[op.Name()] {
		return backend.Unsupported(l, op, "not here")
	}
	return l.Backend.Do(op)
}

func (l *lacking) Alloc(n int) (backend.Buffer, error) {
	l.buffers++
	return l.Backend.Alloc(n)
}

func (l *lacking) Free(b backend.Buffer) {
	l.buffers--
	l.Backend.Free(b)
}
