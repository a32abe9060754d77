package tensor_test

import (
	"fmt"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

func TestGradientsOfActivationsAndRows(t *testing.T) {
	g := check(t)
	positive := func(x tensor.Tensor) tensor.Tensor { return tensor.Affine(tensor.Sigmoid(x), 2, 0.3) }
	for _, c := range []struct {
		name string
		fn   func(x tensor.Tensor) tensor.Tensor
	}{
		{"Sqrt", func(x tensor.Tensor) tensor.Tensor { return tensor.Sqrt(positive(x)) }},
		{"Abs", tensor.Abs}, {"ReLU", tensor.ReLU}, {"Tanh", tensor.Tanh}, {"LogSigmoid", tensor.LogSigmoid},
		{"GELU", tensor.GELU}, {"GELUTanh", tensor.GELUTanh},
		{"Softmax", tensor.Softmax}, {"LogSoftmax", tensor.LogSoftmax}, {"LogSumExp", tensor.LogSumExp},
		{"MaxLast", func(x tensor.Tensor) tensor.Tensor { return withSum(tensor.MaxLast(x), x) }},
	} {
		for _, shape := range [][]int{{4}, {3, 4}, {2, 3, 4}} {
			p := g.param(shape...)
			g.run(fmt.Sprint(c.name, shape), func(s *tensor.Scope) []tensor.Tensor { return one(c.fn(p.In(s))) })
		}
		q := g.param(2, 3, 4)
		g.run(c.name+" of a transposed window", func(s *tensor.Scope) []tensor.Tensor {
			return one(c.fn(q.In(s).Permute(2, 0, 1).Slice(0, 1, 3)))
		})
		r := g.param(4, 3)
		g.run(c.name+" of a transposed matrix", func(s *tensor.Scope) []tensor.Tensor { return one(c.fn(r.In(s).T())) })
	}
}

// withSum adds the sum of x, so that every element influences the loss.
func withSum(y, x tensor.Tensor) tensor.Tensor { return tensor.Add(y, tensor.Sum(x)) }

func TestGradientsOfGatherLastAndTopK(t *testing.T) {
	g := check(t)
	x := g.param(3, 4)
	g.run("GatherLast", func(s *tensor.Scope) []tensor.Tensor { // one element is read twice, and an index is negative
		h := x.In(s)
		return []tensor.Tensor{withSum(tensor.GatherLast(h, s.Ints([]int32{3, -1, 0}, 3)), h),
			tensor.GatherLast(h, s.Ints([]int32{1, 1, -1, 2, 0, 3}, 3, 2))}
	})
	w := g.param(3, 4)
	g.run("LogSoftmaxAt", func(s *tensor.Scope) []tensor.Tensor {
		h := w.In(s)
		return []tensor.Tensor{tensor.LogSoftmaxAt(h, s.Ints([]int32{3, 2, 0}, 3)),
			tensor.LogSoftmaxAt(h, s.Ints([]int32{1, 1, 0, 2, 0, 3}, 3, 2))}
	})
	y := g.param(4, 3)
	g.run("GatherLast of a transposed matrix", func(s *tensor.Scope) []tensor.Tensor {
		h := y.In(s).T()
		return one(withSum(tensor.GatherLast(h, s.Ints([]int32{3, -1, 0}, 3)), h))
	})
	z := g.param(3, 5)
	g.run("TopK", func(s *tensor.Scope) []tensor.Tensor {
		h := z.In(s)
		values, _ := tensor.TopK(h, 2)
		return one(withSum(values, h))
	})
}

func TestGradientsOfCrossEntropy(t *testing.T) {
	g := check(t)
	for _, o := range []tensor.CrossEntropyOptions{
		{}, {LabelSmoothing: 0.1}, {ZLoss: 0.03}, {LabelSmoothing: 1, ZLoss: 1e-4},
	} {
		x := g.param(4, 5)
		g.run(fmt.Sprintf("%+v", o), func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.CrossEntropy(x.In(s), s.Ints([]int32{4, -1, 0, 2}, 4), o))
		})
		y := g.param(5, 4)
		g.run(fmt.Sprintf("%+v of a transposed matrix", o), func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.CrossEntropy(y.In(s).T(), s.Ints([]int32{4, -1, 0, 2}, 4), o))
		})
	}
}

func TestGradientsOfSegments(t *testing.T) {
	g := check(t)
	for name, fn := range map[string]func(x, offsets tensor.Tensor) tensor.Tensor{
		"SegmentSum": tensor.SegmentSum, "SegmentMean": tensor.SegmentMean,
	} {
		for _, shape := range [][]int{{7}, {7, 3}, {7, 2, 3}} {
			x := g.param(shape...)
			g.run(fmt.Sprint(name, shape), func(s *tensor.Scope) []tensor.Tensor {
				return one(fn(x.In(s), s.Ints([]int32{0, 2, 2, 6}, 4))) // the last row is in no segment
			})
		}
		y := g.param(2, 5)
		g.run(name+" of a transposed matrix", func(s *tensor.Scope) []tensor.Tensor {
			return one(fn(y.In(s).T(), s.Ints([]int32{0, 1, 5}, 3)))
		})
	}
}

func TestGradientsOfLogits(t *testing.T) {
	g := check(t)
	x, w := g.param(3, 4), g.param(6, 4)
	g.run("x and w", func(s *tensor.Scope) []tensor.Tensor { return one(tensor.Logits(x.In(s), w)) })
	y, frozen := g.param(3, 4), g.param(6, 4)
	frozen.Trainable = false
	g.runWith("frozen w", gradtest.Options{NoGrad: []*tensor.Param{frozen}}, func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.Logits(y.In(s), frozen))
	})
	v := g.param(6, 4)
	g.run("constant x", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.Logits(s.Full(backend.F64, 2, 3, 4), v))
	})
}

// A gradient passes through a packed head to its input, as through a packed Linear.
func TestGradientOfLogitsOfAPackedHead(t *testing.T) {
	b := open(t)
	x := scalar(t, b)
	for _, f := range []backend.Format{backend.BFloat16, backend.Q8} {
		w, err := tensor.NewParam(b, "head", backend.F32, 32, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Free)
		values := make([]float64, w.Len())
		for i := range values {
			values[i] = float64(i%13-6) / 8
		}
		if err := w.SetFloats(values); err != nil {
			t.Fatal(err)
		}
		w.Format = f
		if err := w.Pack(); err != nil {
			t.Fatal(err)
		}
		var got [2][]float64
		for i, fn := range []func(x tensor.Tensor) tensor.Tensor{
			func(x tensor.Tensor) tensor.Tensor { return tensor.Logits(x, w) },
			(&tensor.Linear{W: w}).Forward,
		} {
			s := tensor.NewScope(b, tensor.Options{Grad: true})
			if err := s.Backward(tensor.Sum(tensor.Tanh(fn(x.In(s).Expand(1, 64))))); err != nil {
				t.Fatal(err)
			}
			s.Close()
			got[i] = grad(t, x)
			if err := x.ZeroGrad(); err != nil {
				t.Fatal(err)
			}
		}
		if got[0][0] != got[1][0] || got[0][0] == 0 {
			t.Errorf("%s: gradient %v of Logits, %v of Linear", f, got[0], got[1])
		}
	}
}

func TestNewLinearNamesItsParameters(t *testing.T) {
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{})
	defer ps.Free()
	l := tensor.NewLinear(ps, "a.q_proj", 3, 2, true)
	plain := tensor.NewLinear(ps, "a.o_proj", 2, 3, false)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	if ps.Get("a.q_proj.weight") != l.W || ps.Get("a.q_proj.bias") != l.Bias || plain.W.Name != "a.o_proj.weight" ||
		plain.Bias != nil || len(ps.All()) != 3 {
		t.Errorf("parameters %v", ps.All())
	}
}

func TestCounterCountsAssignments(t *testing.T) {
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{})
	defer ps.Free()
	load := ps.Counter("load", 4)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []tensor.Options{{Grad: true}, {}} { // inference does not count
		s := tensor.NewScope(b, o)
		tensor.Route(s.Ints([]int32{0, 3, 1, 3, 0, 3}, 3, 2), 4).Count(load)
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	got, err := load.Values()
	if err != nil || fmt.Sprint(got) != "[2 1 0 3]" {
		t.Errorf("counts %v, error %v", got, err)
	}
	if err := load.Reset(); err != nil {
		t.Fatal(err)
	}
	if got, err = load.Values(); err != nil || fmt.Sprint(got) != "[0 0 0 0]" {
		t.Errorf("counts %v after Reset, error %v", got, err)
	}
}

func TestFunctionsRefuseShapesThatDoNotFit(t *testing.T) {
	b := open(t)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	f := func(shape ...int) tensor.Tensor { return s.Full(backend.F32, 1, shape...) }
	i := func(shape ...int) tensor.Tensor { return s.Full(backend.I32, 0, shape...) }
	p := scalar(t, b)
	for _, c := range []struct {
		want string
		call func()
	}{
		{"tensor: Softmax of a scalar",
			func() { tensor.Softmax(f()) }},
		{"tensor: LogSumExp of a scalar",
			func() { tensor.LogSumExp(f()) }},
		{"tensor: LogSoftmax of a scalar",
			func() { tensor.LogSoftmax(f()) }},
		{"tensor: MaxLast of [2 0]: no elements to take the maximum of",
			func() { tensor.MaxLast(f(2, 0)) }},
		{"tensor: GatherLast: x [2 3], index [3]: want index [2] or [2 K]",
			func() { tensor.GatherLast(f(2, 3), i(3)) }},
		{"tensor: TopK: k 4, x [2 3]: want 1 to 3",
			func() { tensor.TopK(f(2, 3), 4) }},
		{"tensor: CrossEntropy: logits [2 3], targets [2 1]: want targets [2]",
			func() { ce(f(2, 3), i(2, 1), 0, 0) }},
		{"tensor: CrossEntropy: LabelSmoothing is 2, want 0 to 1",
			func() { ce(f(2, 3), i(2), 2, 0) }},
		{"tensor: CrossEntropy: ZLoss is -1, want 0 or more and finite",
			func() { ce(f(2, 3), i(2), 0, -1) }},
		{"tensor: SegmentSum: x [2 3], offsets [0]: want x [N ...], offsets [S+1]",
			func() { tensor.SegmentSum(f(2, 3), i(0)) }},
		{"tensor: Assign: F32[2] to p [1]",
			func() { _ = p.Assign(f(2)) }},
	} {
		mustPanic(t, c.want, c.call)
	}
}

func ce(logits, targets tensor.Tensor, smoothing, z float64) tensor.Tensor {
	return tensor.CrossEntropy(logits, targets, tensor.CrossEntropyOptions{LabelSmoothing: smoothing, ZLoss: z})
}
