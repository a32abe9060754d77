package backend_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
)

func TestDryRunCountsByHolderAtThePeak(t *testing.T) {
	d := backend.DryRun(newCPU(t))
	alloc := func(h backend.Holder, bytes int) backend.Buffer {
		buf, err := backend.AllocFor(d, h, bytes)
		if err != nil {
			t.Fatal(err)
		}
		return buf
	}
	alloc(backend.Parameters, 100<<40) // more than any machine has
	a := alloc(backend.Activations, 30)
	d.Free(a)
	d.Free(a) // the second call has no effect
	alloc(backend.Activations, 20)
	want := backend.Memory{Peak: 100<<40 + 30, By: map[backend.Holder]int{backend.Parameters: 100 << 40,
		backend.Activations: 30}}
	if diff := cmp.Diff(want, d.Memory()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := d.Memory().String(); got != "100.0 TiB: parameters 100.0 TiB, activations 30 B" {
		t.Errorf("prints as %q", got)
	}
}

// shy is a backend that lacks RMSNorm and reports so.
type shy struct{ backend.Decorator }

func (s shy) Supports(op string, dt backend.DType) bool {
	return op != "RMSNorm" && s.Decorator.Supports(op, dt)
}

func (s shy) Do(op backend.Op) error {
	if op.Name() == "RMSNorm" {
		return backend.Unsupported(s, op, "")
	}
	return s.Decorator.Do(op)
}

// The temporaries of a decomposition are counted only if the wrapped backend lacks the
// op. A backend that does not report its ops is taken to have all of them.
func TestDryRunDecomposesWhatTheWrappedBackendLacks(t *testing.T) {
	norm := func(b backend.Backend) error {
		x, w, r := upload(t, b, backend.F32, make([]float64, 6), 2, 3), upload(t, b, backend.F32, make([]float64, 3), 3),
			upload(t, b, backend.F32, make([]float64, 2), 2)
		return backend.Do(b, &backend.RMSNorm{Y: x, Rstd: r, X: x, W: w, Eps: 1e-6})
	}
	c := newCPU(t)
	lacks := shy{backend.Decorator{Backend: c}}
	for _, x := range []struct {
		name       string
		b          backend.Backend
		decomposes bool
	}{{"cpu", c, false}, {"lacking", lacks, true}, {"decorated", backend.CheckNaN(lacks), true}, {"silent", without(c),
		false}} {
		d := backend.DryRun(x.b)
		if err := norm(d); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if got := d.Memory().By[backend.Activations] > 0; got != x.decomposes {
			t.Errorf("%s: temporaries: %t, want %t", x.name, got, x.decomposes)
		}
	}
	if err := backend.DryRun(lacks).Do(&backend.RMSNorm{}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an op without operands: error %v", err)
	}
}

func TestDryRunHasTheLayoutAndThePathOfTheWrappedBackend(t *testing.T) {
	c := newCPU(t)
	d := backend.DryRun(c)
	dt, n := packedLen(c)
	if gotType, got := packedLen(d); got != n || gotType != dt || n == 0 {
		t.Errorf("packs to %d of %s, the wrapped backend to %d of %s", got, gotType, n, dt)
	}
	if backend.Path(d) != backend.Path(c) || d.Name() != c.Name() {
		t.Errorf("is %s on %q", d.Name(), backend.Path(d))
	}
	x := upload(t, d, backend.F32, []float64{1, 2}, 2)
	if got := values(t, d, x); !slices.Equal(got, []float64{0, 0}) {
		t.Errorf("downloads %v, want zeros", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Alloc(1); err != nil {
		t.Errorf("closing it closed the wrapped backend: %v", err)
	}
}

func TestMemoryThatDoesNotFitNamesTheNumbers(t *testing.T) {
	b, err := cpu.New(cpu.Options{MemoryLimit: 3 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Alloc(1 << 20); err != nil {
		t.Fatal(err)
	}
	m := backend.Memory{Peak: 2 << 20, By: map[backend.Holder]int{backend.Parameters: 1 << 20, backend.KVCache: 1 << 20}}
	if err := m.Fits(b); err != nil {
		t.Error(err)
	}
	m.Peak++
	const want = "not enough memory: cpu has 2.0 MiB of 3.0 MiB free, want 2.0 MiB: KV cache 1.0 MiB, parameters 1.0 MiB"
	if err := m.Fits(b); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestBytesPrintInTheLargestUnit(t *testing.T) {
	for bytes, want := range map[int]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 29: "1.5 GiB", 5000 << 40: "5000.0 TiB",
	} {
		if got := backend.FormatBytes(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
