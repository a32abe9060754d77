package tensor_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// ramp is n numbers that Q8 rounds.
func ramp(n int, from float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = from + math.Sin(float64(i))
	}
	return x
}

// held is a matrix [20, 64] that exists as Q8 only.
func held(t *testing.T) *tensor.Param {
	t.Helper()
	ps := tensor.NewParams(open(t), tensor.Init{Seed: 1, Format: backend.Q8, Hold: true})
	t.Cleanup(ps.Free)
	p := ps.Matrix("w", 20, 64)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHeldParameterRefusesWhatNeedsItsMaster(t *testing.T) {
	p := held(t)
	b := p.Backend()
	const want = "tensor: parameter w is held as q8"
	mustPanic(t, want, func() { p.Value() })
	if _, err := p.Grad(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Grad: error %v", err)
	}
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	x := s.Floats(backend.F32, ramp(64, 0), 1, 64)
	targets := s.Ints([]int32{3}, 1)
	mustPanic(t, want, func() { p.In(s) })
	mustPanic(t, want, func() { tensor.Embedding(p, targets, backend.F32) })
	mustPanic(t, want, func() { tensor.LogProbs(x, p, targets, 1) })

	other := tensor.NewParams(b, tensor.Init{Format: backend.Q8})
	defer other.Free()
	other.Matrix("w", 20, 64)
	if err := other.Get("w").Hold(); err != nil {
		t.Fatal(err)
	}
	if err := other.CopyFrom(other); err == nil || !strings.Contains(err.Error(), "copy w: the source is held as q8") {
		t.Errorf("CopyFrom of a held source: error %v", err)
	}
	p.Format = backend.Q4
	mustPanic(t, "tensor: parameter w is packed as q8, but its format is now q4", func() { tensor.Logits(x, p) })
}

func TestHeldParameterIsNoPathForGradients(t *testing.T) {
	p := held(t)
	a, err := tensor.NewParam(p.Backend(), "a", backend.F32, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	s := tensor.NewScope(p.Backend(), tensor.Options{Grad: true})
	defer s.Close()
	mustPanic(t, "tensor: parameter w is held as q8", func() {
		l := tensor.Linear{W: p}
		s.Backward(tensor.Sum(l.Forward(a.In(s))))
	})
}

func TestHeldParameterTakesNewValues(t *testing.T) {
	p := held(t)
	values := ramp(p.Len(), 0.5)
	near := func(what string, want []float64) {
		t.Helper()
		for i, x := range floats(t, p) {
			if math.Abs(x-want[i]) > 1.5/254*1.01 {
				t.Fatalf("%s: element %d is %g, want %g", what, i, x, want[i])
			}
		}
	}
	version := p.Version()
	if err := p.SetFloats(values); err != nil {
		t.Fatal(err)
	}
	near("SetFloats", values)
	if p.Version() == version {
		t.Error("SetFloats did not change the version")
	}
	p.Touch()
	if err := p.Hold(); err != nil {
		t.Errorf("Hold again: %v", err)
	}
	if err := tensor.Repack([]*tensor.Param{p}); err != nil {
		t.Errorf("Repack: %v", err)
	}
	if err := p.ZeroGrad(); err != nil {
		t.Errorf("ZeroGrad: %v", err)
	}
	near("after Touch, Hold and Repack", values)

	// A trainer's masters reach the packed copy of a rollout.
	src, dst := tensor.NewParams(p.Backend(), tensor.Init{Seed: 7, Std: 0.3}), tensor.NewParams(p.Backend(), tensor.Init{Seed: 8, Format: backend.Q8, Hold: true})
	defer src.Free()
	defer dst.Free()
	src.Stack("e.*.w", 3, 20, 64)
	p = dst.Stack("e.*.w", 3, 20, 64)
	if err := dst.CopyFrom(src); err != nil {
		t.Fatal(err)
	}
	near("CopyFrom", floats(t, src.Get("e.*.w")))
}

func TestFormatMustNotChangeAfterPacking(t *testing.T) {
	ps := tensor.NewParams(open(t), tensor.Init{Seed: 1, Format: backend.BFloat16})
	defer ps.Free()
	p := ps.Matrix("w", 20, 64)
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	x := s.Floats(backend.F32, ramp(64, 0), 1, 64)
	before, err := tensor.Logits(x, p).Values()
	if err != nil {
		t.Fatal(err)
	}
	p.Format = backend.Native
	mustPanic(t, "tensor: parameter w is packed as bf16, but its format is now native", func() { tensor.Logits(x, p) })
	p.Format = backend.BFloat16
	after, err := tensor.Logits(x, p).Values()
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("%v, error %v, want %v", after, err, before)
	}
}
