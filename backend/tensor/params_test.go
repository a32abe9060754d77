package tensor_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

func floats(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	x, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestFreshParametersDependOnSeedAndNameAlone(t *testing.T) {
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{Seed: seed, Std: 0.5})
	q, k := ps.Matrix("q", 40, 50), ps.Matrix("k", 40, 50)
	again := tensor.NewParams(b, tensor.Init{Seed: seed, Std: 0.5})
	k2, q2 := again.Matrix("k", 40, 50), again.Matrix("q", 40, 50)
	other := tensor.NewParams(b, tensor.Init{Seed: seed + 1, Std: 0.5}).Matrix("q", 40, 50)
	if !slices.Equal(floats(t, q), floats(t, q2)) || !slices.Equal(floats(t, k), floats(t, k2)) {
		t.Error("the order of creation changes values")
	}
	if slices.Equal(floats(t, q), floats(t, k)) || slices.Equal(floats(t, q), floats(t, other)) {
		t.Error("another name or seed gives the same values")
	}
	var sum, squares float64
	for _, v := range floats(t, q) {
		sum += v
		squares += v * v
	}
	// With 2000 values the standard error of the mean is 0.5/√2000 = 0.011, that of the
	// standard deviation 0.5/√4000 = 0.008.
	if mean, std := sum/2000, math.Sqrt(squares/2000); math.Abs(mean) > 0.05 || math.Abs(std-0.5) > 0.04 {
		t.Errorf("mean %v and standard deviation %v, want 0 and 0.5", mean, std)
	}
}

func TestParamsKeepOrderNamesAndKinds(t *testing.T) {
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{DType: backend.F64})
	stack, gain, bias := ps.Stack("experts.*.w", 2, 3, 4), ps.Gain("norm", 3), ps.Bias("bias", 2)
	if !slices.Equal(ps.All(), []*tensor.Param{stack, gain, bias}) || ps.Len() != 24+3+2 || ps.Get("norm") != gain ||
		ps.Get("none") != nil {
		t.Errorf("parameters %v, %d elements", ps.All(), ps.Len())
	}
	if !stack.Decay || gain.Decay || bias.Decay || !bias.Trainable || stack.Value().DType != backend.F64 {
		t.Error("want decay for matrices only, all trainable, all F64")
	}
	if !slices.Equal(floats(t, gain), []float64{1, 1, 1}) || !slices.Equal(floats(t, bias), []float64{0, 0}) {
		t.Errorf("gain %v, bias %v", floats(t, gain), floats(t, bias))
	}
	mustPanic(t, "tensor: two parameters named norm", func() { ps.Bias("norm", 1) })
}

func TestCopyFromCopiesByNameAndOutdatesPackedWeights(t *testing.T) {
	b := open(t)
	src, dst := tensor.NewParams(b, tensor.Init{Seed: 1}), tensor.NewParams(b, tensor.Init{Seed: 2})
	src.Matrix("a", 3, 4)
	src.Bias("c", 2)
	dst.Bias("c", 2)
	a := dst.Matrix("a", 3, 4)
	version := a.Version()
	if err := dst.CopyFrom(src); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(floats(t, a), floats(t, src.Get("a"))) || a.Version() == version {
		t.Errorf("a is %v of version %d", floats(t, a), a.Version())
	}
	src.Bias("extra", 1)
	if err := dst.CopyFrom(src); err != nil {
		t.Errorf("a source with more parameters: %v", err)
	}
	dst.Bias("other", 1)
	if err := dst.CopyFrom(src); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("a source that lacks a parameter: error %v", err)
	}
}

func TestParamsKeepTheFirstErrorAndLeakNothing(t *testing.T) {
	f := newFaulty(t)
	for k := range 7 {
		f.arm(k)
		ps := tensor.NewParams(f, tensor.Init{})
		ps.Matrix("a", 2, 3)
		ps.Gain("b", 2)
		ps.Bias("c", 2)
		f.arm(-1)
		if first := fault(-1); !errors.As(ps.Err(), &first) || int(first) != k {
			t.Errorf("call %d fails: error %v", k, ps.Err())
		}
		ps.Free()
		if f.buffers != 0 {
			t.Errorf("call %d fails: %d buffers left", k, f.buffers)
		}
	}
}

func TestParametersRefuseWhatTheyCannotBe(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		init tensor.Init
		want string
	}{
		{tensor.Init{Std: -1}, "Init.Std is -1, want 0 or more"},
		{tensor.Init{Std: math.NaN()}, "Init.Std is NaN"},
		{tensor.Init{Std: math.Inf(1)}, "Init.Std is +Inf"},
		{tensor.Init{DType: backend.BF16}, "Init.DType is BF16, want F32 or F64"},
		{tensor.Init{Format: backend.Format{BlockK: 8}}, "backend: Format{"},
		{tensor.Init{Tables: backend.Format{Element: backend.I8}}, "backend: Format{"},
	} {
		mustPanic(t, "tensor: NewParams: "+c.want, func() { tensor.NewParams(b, c.init) })
	}
	ps := tensor.NewParams(b, tensor.Init{})
	for _, c := range []struct {
		want   string
		create func()
	}{
		{"parameter w [0 4]: dimension 0 is 0, want at least 1", func() { ps.Matrix("w", 0, 4) }},
		{"parameter w [4 -1]: dimension 1 is -1", func() { ps.Table("w", 4, -1) }},
		{"parameter w [2 0 4]: dimension 1 is 0", func() { ps.Stack("w", 2, 0, 4) }},
		{"parameter w [0]: dimension 0 is 0", func() { ps.Gain("w", 0) }},
		{"parameter w [-3]: dimension 0 is -3", func() { ps.Bias("w", -3) }},
		{"parameter w [2 0]: dimension 1 is 0", func() { tensor.NewParam(b, "w", backend.F32, 2, 0) }},
	} {
		mustPanic(t, "tensor: "+c.want, c.create)
	}
	if n := len(ps.All()); n > 0 {
		t.Errorf("%d parameters were made", n)
	}
}
