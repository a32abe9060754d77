package tensor_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// seed is the seed of the parameters of every gradient check.
const seed = 7

func open(t testing.TB) backend.Backend {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// gradients runs gradient checks on one backend. It makes their parameters, each with its
// own seed.
type gradients struct {
	*testing.T
	b    backend.Backend
	made []*tensor.Param
}

func check(t *testing.T) *gradients {
	t.Logf("seed %d", seed)
	return &gradients{T: t, b: open(t)}
}

func (g *gradients) param(shape ...int) *tensor.Param {
	p := gradtest.Normal(g, g.b, seed+uint64(len(g.made)), 1, fmt.Sprintf("p%d%v", len(g.made), shape), shape...)
	g.made = append(g.made, p)
	return p
}

// run checks op on the parameters made since the last run. It passes in the gradient of
// op's results in three ways: contiguous, with reversed dimensions, and summed over two
// readers.
func (g *gradients) run(name string, op func(s *tensor.Scope) []tensor.Tensor) {
	g.runWith(name, gradtest.Options{}, op)
}

func (g *gradients) runWith(name string, o gradtest.Options, op func(s *tensor.Scope) []tensor.Tensor) {
	g.Helper()
	params := slices.DeleteFunc(g.made, func(p *tensor.Param) bool { return slices.Contains(o.NoGrad, p) || !p.Trainable })
	g.made = nil
	reversed := func(x tensor.Tensor) tensor.Tensor {
		order := make([]int, x.Rank())
		for i := range order {
			order[i] = x.Rank() - 1 - i
		}
		return x.Permute(order...)
	}
	arrivals := []struct {
		name    string
		project func(y tensor.Tensor, seed uint64) tensor.Tensor
	}{
		{"contiguous", gradtest.Project},
		{"reversed", func(y tensor.Tensor, seed uint64) tensor.Tensor { return gradtest.Project(reversed(y), seed) }},
		{"two readers", func(y tensor.Tensor, seed uint64) tensor.Tensor {
			return tensor.Add(gradtest.Project(y, seed), gradtest.Project(reversed(y), seed+99))
		}},
	}
	for _, a := range arrivals {
		g.Run(name+"/"+a.name, func(t *testing.T) {
			gradtest.Check(t, params, func(s *tensor.Scope) tensor.Tensor {
				var loss tensor.Tensor
				for i, y := range op(s) {
					l := a.project(y, 100+uint64(i))
					if i == 0 {
						loss = l
					} else {
						loss = tensor.Add(loss, l)
					}
				}
				return loss
			}, o)
		})
	}
}

func one(t tensor.Tensor) []tensor.Tensor { return []tensor.Tensor{t} }

func TestGradientsOfElementwiseFunctions(t *testing.T) {
	g := check(t)
	positive := func(x tensor.Tensor) tensor.Tensor { return tensor.Affine(tensor.Sigmoid(x), 2, 0.3) }
	for _, c := range []struct {
		name string
		fn   func(x tensor.Tensor) tensor.Tensor
	}{
		{"Affine", func(x tensor.Tensor) tensor.Tensor { return tensor.Affine(x, -2.5, 3) }},
		{"Scale", func(x tensor.Tensor) tensor.Tensor { return tensor.Scale(x, 0.3) }},
		{"Neg", tensor.Neg},
		{"Exp", tensor.Exp},
		{"Log", func(x tensor.Tensor) tensor.Tensor { return tensor.Log(positive(x)) }},
		{"Sigmoid", tensor.Sigmoid},
		{"Clamp", func(x tensor.Tensor) tensor.Tensor { return tensor.Clamp(x, -0.5, 0.7) }},
		{"Sum", tensor.Sum},
		{"Mean", tensor.Mean},
		{"SumLast", tensor.SumLast},
		{"Contiguous", tensor.Tensor.Contiguous},
		{"identity", func(x tensor.Tensor) tensor.Tensor { return x }},
	} {
		p := g.param(3, 4)
		g.run(c.name, func(s *tensor.Scope) []tensor.Tensor { return one(c.fn(p.In(s))) })
		q := g.param(2, 3, 4)
		g.run(c.name+" of a transposed window", func(s *tensor.Scope) []tensor.Tensor {
			return one(c.fn(q.In(s).Permute(2, 0, 1).Slice(0, 1, 3)))
		})
	}
}

func TestGradientsOfBinaryFunctionsBroadcast(t *testing.T) {
	g := check(t)
	awayFromZero := func(x tensor.Tensor) tensor.Tensor { return tensor.Affine(tensor.Sigmoid(x), 2, 0.5) }
	for _, f := range []struct {
		name string
		fn   func(a, b tensor.Tensor) tensor.Tensor
	}{
		{"Add", tensor.Add}, {"Sub", tensor.Sub}, {"Mul", tensor.Mul},
		{"Div", func(a, b tensor.Tensor) tensor.Tensor { return tensor.Div(a, awayFromZero(b)) }},
		{"Minimum", withProduct(tensor.Minimum)}, {"Maximum", withProduct(tensor.Maximum)},
	} {
		for _, c := range [][2][]int{
			{{3, 4}, {3, 4}}, {{3, 4}, {4}}, {{4}, {3, 4}}, {{3, 4}, {1}}, {{3, 1}, {1, 4}}, {{1, 4}, {3, 1}},
			{{2, 3, 4}, {3, 1}}, {{2, 1, 4}, {3, 1}}, {{2, 3, 2, 2}, {2}}, {{2, 1, 3, 1}, {2, 1, 4}}, {{2, 3}, {}}, {{}, {}},
			{{1}, {1, 1}},
		} {
			a, b := g.param(c[0]...), g.param(c[1]...)
			g.run(fmt.Sprintf("%s%v%v", f.name, c[0], c[1]), func(s *tensor.Scope) []tensor.Tensor {
				return one(f.fn(a.In(s), b.In(s)))
			})
		}
		a := g.param(3, 4)
		g.run(f.name+" of a tensor with itself transposed", func(s *tensor.Scope) []tensor.Tensor {
			x := a.In(s)
			return one(f.fn(x.Slice(1, 0, 3), x.Slice(1, 1, 4).T()))
		})
		if f.name == "Add" || f.name == "Mul" || f.name == "Div" { // the others have kinks at ties, or are constant
			b := g.param(3, 4)
			g.run(f.name+" of a tensor with itself", func(s *tensor.Scope) []tensor.Tensor {
				x := b.In(s)
				return one(f.fn(x, x))
			})
		}
		c := g.param(4)
		g.run(f.name+" with a constant on either side", func(s *tensor.Scope) []tensor.Tensor {
			k := s.Full(backend.F64, 0.25, 3, 4)
			return []tensor.Tensor{f.fn(c.In(s), k), f.fn(k, c.In(s))}
		})
	}
}

// withProduct adds a·b, so that both operands influence the loss even if fn selects the
// same one everywhere.
func withProduct(fn func(a, b tensor.Tensor) tensor.Tensor) func(a, b tensor.Tensor) tensor.Tensor {
	return func(a, b tensor.Tensor) tensor.Tensor { return tensor.Add(fn(a, b), tensor.Mul(a, b)) }
}

func TestGradientGoesToTheFirstOperandAtATie(t *testing.T) {
	b := open(t)
	for name, fn := range map[string]func(a, b tensor.Tensor) tensor.Tensor{"Minimum": tensor.Minimum,
		"Maximum": tensor.Maximum} {
		p, q := gradtest.Normal(t, b, seed, 1, "p", 3), gradtest.Normal(t, b, seed, 1, "q", 3)
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		if err := s.Backward(tensor.Sum(fn(p.In(s), q.In(s)))); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := grad(t, p); !slices.Equal(got, []float64{1, 1, 1}) {
			t.Errorf("%s: gradient of a is %v, want ones", name, got)
		}
		if got := grad(t, q); !slices.Equal(got, []float64{0, 0, 0}) {
			t.Errorf("%s: gradient of b is %v, want zeros", name, got)
		}
	}
}

// grad returns p's gradient.
func grad(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	v, err := p.Grad()
	if err != nil {
		t.Fatal(err)
	}
	x, err := backend.Values(p.Backend(), v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestGradientsOfShapeFunctions(t *testing.T) {
	g := check(t)
	p := g.param(2, 3, 4)
	g.run("Reshape", func(s *tensor.Scope) []tensor.Tensor { return one(p.In(s).Reshape(4, 6)) })
	p1 := g.param(2, 3, 4)
	g.run("Permute", func(s *tensor.Scope) []tensor.Tensor { return one(p1.In(s).Permute(1, 2, 0)) })
	p2 := g.param(2, 3, 4)
	g.run("T", func(s *tensor.Scope) []tensor.Tensor { return one(p2.In(s).T()) })
	p3 := g.param(3, 4)
	g.run("Slice", func(s *tensor.Scope) []tensor.Tensor { // the last column is read twice, the first never
		x := p3.In(s)
		return []tensor.Tensor{x.Slice(-1, 1, 4), x.Slice(1, 3, 4).Slice(0, 1, 3), x.Slice(1, 2, 2)}
	})
	p4 := g.param(2, 6)
	g.run("Split", func(s *tensor.Scope) []tensor.Tensor {
		parts := p4.In(s).Split(-1, 2, 0, 1, 3)
		return []tensor.Tensor{parts[0], parts[3]} // parts[2] is not read
	})
	p5, p6 := g.param(2, 3), g.param(2, 1)
	g.run("Concat", func(s *tensor.Scope) []tensor.Tensor {
		x, y := p5.In(s), p6.In(s)
		return []tensor.Tensor{tensor.Concat(-1, x, y, x), tensor.Concat(0, y, s.Full(backend.F64, 1, 1, 1)),
			tensor.Concat(0, x.T())}
	})
	p7, p8 := g.param(3, 1), g.param(4)
	g.run("Expand", func(s *tensor.Scope) []tensor.Tensor {
		return []tensor.Tensor{p7.In(s).Expand(2, 3, 4), p8.In(s).Expand(2, 3, 4), p8.In(s).Expand(4).Contiguous(),
			p8.In(s).Expand(2, 4).Contiguous()}
	})
}

func TestGradientsOfMatMul(t *testing.T) {
	g := check(t)
	for _, lead := range [][]int{nil, {3}, {2, 3}} {
		a, b := g.param(append(slices.Clone(lead), 2, 5)...), g.param(append(slices.Clone(lead), 5, 4)...)
		g.run(fmt.Sprint(lead), func(s *tensor.Scope) []tensor.Tensor { return one(tensor.MatMul(a.In(s), b.In(s))) })
		c, d := g.param(append(slices.Clone(lead), 5, 2)...), g.param(append(slices.Clone(lead), 4, 5)...)
		g.run(fmt.Sprint(lead, " of transposed operands"), func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.MatMul(c.In(s).T(), d.In(s).T()))
		})
	}
	a := g.param(4, 4)
	g.run("of a tensor with itself", func(s *tensor.Scope) []tensor.Tensor {
		x := a.In(s)
		return one(tensor.MatMul(x,
			x))
	})
	b, c := g.param(2, 3), g.param(4, 3, 2)
	g.run("with a repeated operand", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.MatMul(b.In(s).Expand(4, 2, 3), c.In(s)))
	})
}

func TestGradientsOfLinear(t *testing.T) {
	g := check(t)
	x, w := g.param(3, 4), g.param(5, 4)
	g.run("plain", func(s *tensor.Scope) []tensor.Tensor { return one((&tensor.Linear{W: w}).Forward(x.In(s))) })
	x1, w1, bias := g.param(4, 3), g.param(5, 4), g.param(5)
	g.run("bias, transposed input", func(s *tensor.Scope) []tensor.Tensor {
		return one((&tensor.Linear{W: w1, Bias: bias}).Forward(x1.In(s).T()))
	})
	x2, w2, a, b := g.param(3, 4), g.param(5, 4), g.param(2, 4), g.param(5, 2)
	g.run("low-rank adapter", func(s *tensor.Scope) []tensor.Tensor {
		return one((&tensor.Linear{W: w2, Adapter: &tensor.LowRank{A: a, B: b, Scale: 0.7}}).Forward(x2.In(s)))
	})
	x3, w3, a3, b3 := g.param(3, 4), g.param(5, 4), g.param(2, 4), g.param(5, 2)
	w3.Trainable = false
	g.runWith("frozen W under an adapter", gradtest.Options{NoGrad: []*tensor.Param{w3}},
		func(s *tensor.Scope) []tensor.Tensor {
			return one((&tensor.Linear{W: w3, Adapter: &tensor.LowRank{A: a3, B: b3, Scale: 2}}).Forward(x3.In(s)))
		})
	w4, b4 := g.param(5, 4), g.param(5)
	g.run("constant input", func(s *tensor.Scope) []tensor.Tensor {
		return one((&tensor.Linear{W: w4, Bias: b4}).Forward(s.Full(backend.F64, 0.5, 3, 4)))
	})
	w5, x5 := g.param(4, 4), g.param(3, 4)
	g.run("one W twice", func(s *tensor.Scope) []tensor.Tensor {
		l := tensor.Linear{W: w5}
		return one(l.Forward(tensor.Sigmoid(l.Forward(x5.In(s)))))
	})
	w6, x6 := g.param(4, 4), g.param(3, 4)
	w6.Trainable = false
	g.runWith("frozen", gradtest.Options{NoGrad: []*tensor.Param{w6}}, func(s *tensor.Scope) []tensor.Tensor {
		return one((&tensor.Linear{W: w6}).Forward(x6.In(s)))
	})
}

// The gradient of a parameter that is multiplied by BF16 activations is not rounded to
// BF16 in any term of its sum: the product of 1 + 2⁻⁷ with itself needs 15 bits.
func TestGradientOfAParameterIsNotRoundedToBF16(t *testing.T) {
	b := open(t)
	const x = 1 + 0x1p-7
	for _, shape := range [][]int{{3}, {4, 3}} {
		w, err := tensor.NewParam(b, "w", backend.F32, shape...)
		if err != nil {
			t.Fatal(err)
		}
		w.Trainable = true
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		y := tensor.Mul(s.Full(backend.F32, x, 4, 3).Cast(backend.BF16), w.In(s))
		if err := s.Backward(tensor.Sum(tensor.Mul(y, s.Full(backend.BF16, x, 4, 3)))); err != nil {
			t.Fatal(err)
		}
		s.Close()
		g, err := w.Grad()
		if err != nil {
			t.Fatal(err)
		}
		values, err := backend.Values(b, g)
		if want := x * x * 12 / float64(w.Len()); err != nil || values[0] != want {
			t.Errorf("%v: gradient %v, %v, want %v", shape, values[0], err, want)
		}
		w.Free()
	}
}

func TestGradientOfEmbeddingAddsRepeatedIDs(t *testing.T) {
	g := check(t)
	w := g.param(5, 3)
	g.run("Embedding", func(s *tensor.Scope) []tensor.Tensor { // row 4 is read three times, row 0 never; −1 reads no row
		return one(tensor.Embedding(w, s.Ints([]int32{4, 1, 4, -1, 2, 4, 3}, 7), w.Value().DType))
	})
}

func TestGradientsOfRMSNormAndSwiGLU(t *testing.T) {
	g := check(t)
	x, w := g.param(3, 4), g.param(4)
	g.run("RMSNorm", func(s *tensor.Scope) []tensor.Tensor { return one(tensor.RMSNorm(x.In(s), w, 0.01)) })
	x1, w1 := g.param(70, 6), g.param(4)
	g.runWith("RMSNorm of a window of columns", gradtest.Options{Samples: 20, Seed: seed},
		func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.RMSNorm(x1.In(s).Slice(1, 2, 6), w1, 0.01))
		})
	x2, w2 := g.param(3, 4), g.param(4)
	w2.Trainable = false
	g.runWith("RMSNorm with frozen weight", gradtest.Options{NoGrad: []*tensor.Param{w2}},
		func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.RMSNorm(x2.In(s), w2, 0.01))
		})
	w3 := g.param(4)
	g.run("RMSNorm of a constant", func(s *tensor.Scope) []tensor.Tensor {
		return one(tensor.RMSNorm(s.Full(backend.F64, 2, 3, 4), w3, 0.01))
	})
	y, z := g.param(3, 5), g.param(3, 5)
	g.run("SwiGLU", func(s *tensor.Scope) []tensor.Tensor { return one(tensor.SwiGLU(y.In(s), z.In(s))) })
	yz := g.param(3, 10)
	g.run("SwiGLU of the halves of one tensor", func(s *tensor.Scope) []tensor.Tensor {
		h := yz.In(s).Split(1, 5, 5)
		return one(tensor.SwiGLU(h[0], h[1]))
	})
}

func TestGradientsOfRoPE(t *testing.T) {
	g := check(t)
	a := tensor.Angles{Cos: g.param(6, 2), Sin: g.param(6, 2)}
	a.Cos.Trainable, a.Sin.Trainable = false, false
	for _, interleaved := range []bool{false, true} {
		x := g.param(3, 2, 4)
		g.run(fmt.Sprintf("interleaved %v", interleaved), func(s *tensor.Scope) []tensor.Tensor {
			return one(tensor.RoPE(x.In(s), s.Ints([]int32{5, 0, 2}, 3), a, interleaved))
		})
		wide := g.param(3, 2, 7)
		g.run(fmt.Sprintf("the end of wider rows, read twice, interleaved %v", interleaved),
			func(s *tensor.Scope) []tensor.Tensor {
				h := wide.In(s)
				return one(tensor.Add(h, tensor.RoPE(h, s.Ints([]int32{5, 0, 2}, 3), a, interleaved)))
			})
		for name, use := range map[string]func(k, v tensor.Tensor) []tensor.Tensor{
			"keys and values": func(k, v tensor.Tensor) []tensor.Tensor { return []tensor.Tensor{k, v} },
			"keys alone":      func(k, _ tensor.Tensor) []tensor.Tensor { return one(k) },
		} {
			up, kR := g.param(3, 2, 8), g.param(3, 4)
			g.run(fmt.Sprintf("MLA %s, interleaved %v", name, interleaved), func(s *tensor.Scope) []tensor.Tensor {
				return use(tensor.MLAKeys(up.In(s), kR.In(s), s.Ints([]int32{5, 0, 2}, 3), 3, a, interleaved))
			})
		}
	}
}

// The backward pass of the second product adds to the gradient that the first has
// written.
func TestGradientsOfProductsThatShareAnInput(t *testing.T) {
	g := check(t)
	x, a, b := g.param(3, 4), g.param(5, 4), g.param(2, 4)
	g.run("two", func(s *tensor.Scope) []tensor.Tensor {
		h := x.In(s)
		return []tensor.Tensor{(&tensor.Linear{W: a}).Forward(h), (&tensor.Linear{W: b}).Forward(h)}
	})
	x, a, b = g.param(3, 4), g.param(5, 4), g.param(2, 4)
	g.run("of a gradient that another tensor reads", func(s *tensor.Scope) []tensor.Tensor {
		h := x.In(s)
		y := tensor.Add(h, tensor.Scale(h, 2))
		return []tensor.Tensor{y, (&tensor.Linear{W: a}).Forward(h), (&tensor.Linear{W: b}).Forward(y)}
	})
}
