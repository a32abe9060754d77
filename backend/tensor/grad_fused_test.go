package tensor_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// ragged returns start and length of the rows of sequences of the given lengths, which
// lie one after another.
func ragged(s *tensor.Scope, lengths ...int) (start, length tensor.Tensor) {
	var a, n []int32
	at := int32(0)
	for _, l := range lengths {
		for i := range l {
			a, n = append(a, at), append(n, int32(i+1))
		}
		at += int32(l)
	}
	return s.Ints(a, len(a)), s.Ints(n, len(n))
}

func TestGradientsOfAttention(t *testing.T) {
	g := check(t)
	for _, c := range []struct {
		name        string
		heads, keys int
	}{{"one key head a query head", 2, 2}, {"grouped queries", 4, 2}, {"one key head", 3, 1}} {
		q, k, v := g.param(6, c.heads, 4), g.param(6, c.keys, 4), g.param(6, c.keys, 3)
		g.run(c.name, func(s *tensor.Scope) []tensor.Tensor {
			start, length := ragged(s, 3, 1, 2)
			return one(tensor.Attention(q.In(s), k.In(s), v.In(s), start, length, 0.5))
		})
	}
	q, kv := g.param(5, 3, 4), g.param(5, 1, 4)
	g.run("values a view of the keys", func(s *tensor.Scope) []tensor.Tensor {
		start, length := ragged(s, 2, 3)
		k := kv.In(s)
		return one(tensor.Attention(q.In(s), k, k.Slice(2, 0, 3), start, length, 0.5))
	})
	q1, k1 := g.param(2, 3, 4), g.param(3, 5, 4)
	k1.Trainable = false
	g.runWith("constant keys and permuted heads", gradtest.Options{NoGrad: []*tensor.Param{k1}},
		func(s *tensor.Scope) []tensor.Tensor {
			start, length := s.Ints([]int32{0, 0, 2}, 3), s.Ints([]int32{1, 2, 3}, 3)
			k := k1.In(s).Permute(1, 0, 2).Slice(1, 0, 2)
			return one(tensor.Attention(q1.In(s).Permute(1, 0, 2), k, k, start, length, 0.5))
		})
}

// gateRules are variants of a gate that chooses 3 of 8 experts.
var gateRules = []backend.MoEGate{
	{Scoring: backend.ScoreSigmoid, GroupBy: backend.GroupTop2Sum, Groups: 4, TopGroups: 2, Normalize: true, Scale: 2.5},
	{Scoring: backend.ScoreSigmoid, Groups: 1, TopGroups: 1, Normalize: false, Scale: 1},
	{Scoring: backend.ScoreSoftmax, GroupBy: backend.GroupMax, Groups: 4, TopGroups: 3, Normalize: false, Scale: 16},
	{Scoring: backend.ScoreSoftmax, GroupBy: backend.GroupMax, Groups: 2, TopGroups: 1, Normalize: true, Scale: 1},
}

func TestGradientsOfGate(t *testing.T) {
	g := check(t)
	for _, rule := range gateRules {
		for _, biased := range []bool{false, true} {
			name := fmt.Sprintf("scoring %d normalize %v bias %v", rule.Scoring, rule.Normalize, biased)
			logits := g.param(5, 8)
			var bias *tensor.Param
			var o gradtest.Options
			if biased {
				bias = g.param(8)
				o.NoGrad = []*tensor.Param{bias}
			}
			gate := func(s *tensor.Scope) (w, scores tensor.Tensor) {
				w, scores, _ = tensor.Gate(logits.In(s), bias, 3, rule)
				return w, scores
			}
			g.runWith(name+"/weights", o, func(s *tensor.Scope) []tensor.Tensor { w, _ := gate(s); return one(w) })
			g.made = []*tensor.Param{logits}
			g.runWith(name+"/scores", o, func(s *tensor.Scope) []tensor.Tensor { _, p := gate(s); return one(p) })
			g.made = []*tensor.Param{logits}
			g.runWith(name+"/both", o, func(s *tensor.Scope) []tensor.Tensor { w, p := gate(s); return []tensor.Tensor{w, p} })
		}
	}
}

// The given experts are not those that the gate would choose.
func TestGradientsOfGateAtGivenExperts(t *testing.T) {
	g := check(t)
	index := []int32{0, 1, 2, 0, 3, 7, 1, 4, 6, 5, 6, 7, 2, 3, 4}
	for _, rule := range gateRules {
		logits := g.param(5, 8)
		g.run(fmt.Sprintf("scoring %d normalize %v", rule.Scoring, rule.Normalize), func(s *tensor.Scope) []tensor.Tensor {
			w, scores, _ := tensor.GateAt(logits.In(s), s.Ints(index, 5, 3), nil, rule)
			return []tensor.Tensor{w, scores}
		})
	}
}

// For the experts that Gate chose, GateAt returns the bits of Gate.
func TestGateAtItsOwnChoiceIsGate(t *testing.T) {
	s := tensor.NewScope(open(t), tensor.Options{})
	defer s.Close()
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		for _, rule := range gateRules {
			logits := s.Floats(dt, ramp(5*8, 0), 5, 8)
			want, wantScores, index := tensor.Gate(logits, nil, 3, rule)
			got, scores, chosen := tensor.GateAt(logits, index, nil, rule)
			for _, pair := range [][2]tensor.Tensor{{got, want}, {scores, wantScores}, {chosen, index}} {
				a, err := pair[0].Values()
				if err != nil {
					t.Fatal(err)
				}
				b, err := pair[1].Values()
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a, b) {
					t.Errorf("%s %+v: %v, want %v", dt, rule, a, b)
				}
			}
		}
	}
}

func TestGradientsOfExperts(t *testing.T) {
	g := check(t)
	index := []int32{1, 3, 1, 4, 0, 3, 3, 4} // 4 tokens with 2 of 6 experts each; experts 2 and 5 get no token
	route := func(s *tensor.Scope) tensor.Routing { return tensor.Route(s.Ints(index, 4, 2), 6) }
	x := g.param(4, 3)
	g.run("Dispatch", func(s *tensor.Scope) []tensor.Tensor { return one(tensor.Dispatch(x.In(s), route(s))) })
	y, w := g.param(8, 3), g.param(4, 2)
	g.run("Combine", func(s *tensor.Scope) []tensor.Tensor { return one(tensor.Combine(y.In(s), w.In(s), route(s))) })
	y1 := g.param(8, 3)
	g.run("Combine with constant weights", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.Combine(y1.In(s), s.Full(backend.F64, 0.5, 4, 2), route(s)))
	})
	z, stack := g.param(8, 3), g.param(6, 2, 3)
	g.run("GroupedLinear", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.GroupedLinear(z.In(s), stack, route(s).Offsets))
	})
	z1, frozen := g.param(8, 3), g.param(6, 2, 3)
	frozen.Trainable = false
	g.runWith("GroupedLinear with frozen stack", gradtest.Options{NoGrad: []*tensor.Param{frozen}},
		func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.GroupedLinear(z1.In(s), frozen, route(s).Offsets))
		})
	only := g.param(6, 2, 3)
	g.run("GroupedLinear of a constant", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.GroupedLinear(s.Full(backend.F64, 0.5, 8, 3), only, route(s).Offsets))
	})
	t0, wr, w1, w2 := g.param(4, 3), g.param(6, 3), g.param(6, 4, 3), g.param(6, 3, 2)
	g.run("a whole layer", func(s *tensor.Scope) []tensor.Tensor {
		x := t0.In(s)
		weight, _, index := tensor.Gate((&tensor.Linear{W: wr}).Forward(x), nil, 2, backend.MoEGate{Groups: 1,
			TopGroups: 1, Normalize: true, Scale: 1})
		r := tensor.Route(index, 6)
		h := tensor.GroupedLinear(tensor.Dispatch(x, r), w1, r.Offsets).Split(1, 2, 2)
		return one(tensor.Combine(tensor.GroupedLinear(tensor.SwiGLU(h[0], h[1]), w2, r.Offsets), weight, r))
	})
}

func TestGradientOfSequenceBalance(t *testing.T) {
	g := check(t)
	x := g.param(6, 5)
	g.run("SequenceBalance", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.SequenceBalance(tensor.Sigmoid(x.In(s)), s.Ints([]int32{0, 2, 2, 6}, 4), 2, 0.3))
	})
}

func TestGradientsOfLogProbs(t *testing.T) {
	g := check(t)
	target := []int32{2, -1, 0, 6, 2}
	x, w := g.param(5, 4), g.param(7, 4)
	scores := func(s *tensor.Scope) (lp, h tensor.Tensor) {
		return tensor.LogProbs(x.In(s), w, s.Ints(target, 5), 0.8)
	}
	g.run("log-probability", func(s *tensor.Scope) []tensor.Tensor { lp, _ := scores(s); return one(lp) })
	g.made = []*tensor.Param{x, w}
	g.run("entropy", func(s *tensor.Scope) []tensor.Tensor { _, h := scores(s); return one(h) })
	g.made = []*tensor.Param{x, w}
	g.run("both", func(s *tensor.Scope) []tensor.Tensor { lp, h := scores(s); return []tensor.Tensor{lp, h} })
	g.made = []*tensor.Param{x}
	w.Trainable = false
	g.runWith("frozen head", gradtest.Options{NoGrad: []*tensor.Param{w}}, func(s *tensor.Scope) []tensor.Tensor {
		lp,
			h := scores(s)
		return []tensor.Tensor{lp, h}
	})
	w.Trainable = true
	g.made = []*tensor.Param{w}
	g.run("constant input", func(s *tensor.Scope) []tensor.Tensor {
		lp, h := tensor.LogProbs(s.Full(backend.F64, 0.5, 5, 4), w, s.Ints(target, 5), 0.8)
		return []tensor.Tensor{lp, h}
	})
	wide, v := g.param(2, 3), g.param(4100, 3) // more than one chunk of the vocabulary
	g.runWith("long vocabulary", gradtest.Options{Samples: 12, Seed: seed, Tolerance: 1e-5},
		func(s *tensor.Scope) []tensor.Tensor {
			lp, h := tensor.LogProbs(wide.In(s), v, s.Ints([]int32{4099, 7}, 2), 1)
			return []tensor.Tensor{lp, h}
		})
}

func TestRowsWithANegativeTargetGetNoGradient(t *testing.T) {
	b := open(t)
	x, w := gradtest.Normal(t, b, seed, 1, "x", 2, 4), gradtest.Normal(t, b, seed+1, 1, "w", 7, 4)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	lp, _ := tensor.LogProbs(x.In(s), w, s.Ints([]int32{3, -1}, 2), 1)
	if err := s.Backward(tensor.Sum(lp)); err != nil {
		t.Fatal(err)
	}
	for i, g := range grad(t, x) {
		if i/4 == 0 && g == 0 || i/4 == 1 && g != 0 {
			t.Errorf("gradient of x[%d] is %v", i, g)
		}
	}
}

// square is x² as a Func with its own gradient.
var square = tensor.Func{
	Forward: func(s *tensor.Scope, in []tensor.Tensor) tensor.Tensor { return tensor.Mul(in[0], in[0]) },
	Backward: func(s *tensor.Scope, in []tensor.Tensor, out, dOut tensor.Tensor) []tensor.Tensor {
		return []tensor.Tensor{tensor.Mul(tensor.Scale(in[0], 2), dOut)}
	},
}

func TestGradientsOfFunc(t *testing.T) {
	g := check(t)
	x := g.param(3, 4)
	g.run("square", func(s *tensor.Scope) []tensor.Tensor { return one(square.Apply(x.In(s))) })
	product := tensor.Func{ // its second gradient is a transposed view, and its third input is a constant
		Forward: func(s *tensor.Scope, in []tensor.Tensor) tensor.Tensor {
			return tensor.Mul(tensor.MatMul(in[0], in[1]), in[2])
		},
		Backward: func(s *tensor.Scope, in []tensor.Tensor, out, dOut tensor.Tensor) []tensor.Tensor {
			d := tensor.Mul(dOut, in[2])
			return []tensor.Tensor{tensor.MatMul(d, in[1].T()), tensor.MatMul(d.T(), in[0]).T(), {}}
		},
	}
	a, b := g.param(3, 4), g.param(4, 2)
	g.run("product", func(s *tensor.Scope) []tensor.Tensor {
		return one(product.Apply(a.In(s), b.In(s), s.Full(backend.F64, 3, 3, 2)))
	})
	pass := tensor.Func{ // returns tensors that it did not make: dOut, and an input
		Forward: func(s *tensor.Scope, in []tensor.Tensor) tensor.Tensor {
			return tensor.Add(in[0], tensor.Scale(tensor.Mul(in[1], in[1]), 0.5))
		},
		Backward: func(s *tensor.Scope, in []tensor.Tensor, out, dOut tensor.Tensor) []tensor.Tensor {
			return []tensor.Tensor{dOut, in[1]}
		},
	}
	c, d := g.param(3), g.param(3)
	g.made = nil
	gradtest.Check(t, []*tensor.Param{c, d}, func(s *tensor.Scope) tensor.Tensor {
		x, y := tensor.Scale(c.In(s), 2), tensor.Scale(d.In(s), 3)
		sum := tensor.Sum(pass.Apply(x, y))
		return tensor.Add(tensor.Add(sum, tensor.Sum(tensor.Mul(x, x))), tensor.Sum(tensor.Exp(y)))
	}, gradtest.Options{})
}

func TestGradientsOfRecompute(t *testing.T) {
	g := check(t)
	x, y, w, n := g.param(3, 4), g.param(3, 4), g.param(8, 4), g.param(4)
	block := func(s *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
		h := (&tensor.Linear{W: w}).Forward(tensor.RMSNorm(in[0], n, 0.01)).Split(1, 4, 4)
		return []tensor.Tensor{tensor.SwiGLU(h[0], tensor.Mul(h[1], in[1])), tensor.SumLast(h[0]), in[0].T()}
	}
	g.run("block", func(s *tensor.Scope) []tensor.Tensor { return tensor.Recompute(block, x.In(s), y.In(s)) })
	g.made = []*tensor.Param{x, y, w, n}
	g.run("one result unread", func(s *tensor.Scope) []tensor.Tensor {
		return tensor.Recompute(block, x.In(s),
			y.In(s))[:1]
	})
	g.made = []*tensor.Param{x, w, n}
	g.run("one input twice", func(s *tensor.Scope) []tensor.Tensor { v := x.In(s); return tensor.Recompute(block, v, v) })
	g.made = []*tensor.Param{x, y, w, n}
	g.run("nested", func(s *tensor.Scope) []tensor.Tensor {
		return tensor.Recompute(func(s *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
			out := tensor.Recompute(block, in[0], tensor.Sigmoid(in[1]))
			return []tensor.Tensor{tensor.Exp(out[0]), out[1]}
		}, x.In(s), y.In(s))
	})
}
