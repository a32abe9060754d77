package tensor_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// normal returns a parameter of random values on b.
func normal(t testing.TB, b backend.Backend, name string, shape ...int) *tensor.Param {
	return gradtest.Normal(t, b, seed, 1, name, shape...)
}

// pairs are functions of two tensors.
var pairs = map[string]func(a, b tensor.Tensor) tensor.Tensor{
	"Add": tensor.Add, "Sub": tensor.Sub, "Mul": tensor.Mul, "Div": tensor.Div, "Minimum": tensor.Minimum,
	"MatMul": tensor.MatMul, "SwiGLU": tensor.SwiGLU,
	"Concat": func(a, b tensor.Tensor) tensor.Tensor { return tensor.Concat(0, a, b) },
	"Func": func(a, b tensor.Tensor) tensor.Tensor {
		return tensor.Func{
			Forward: func(_ *tensor.Scope, in []tensor.Tensor) tensor.Tensor { return tensor.Mul(in[0], in[1]) },
			Backward: func(_ *tensor.Scope, in []tensor.Tensor, _, d tensor.Tensor) []tensor.Tensor {
				return []tensor.Tensor{tensor.Mul(d, in[1]), tensor.Mul(d, in[0])}
			},
		}.Apply(a, b)
	},
	"Recompute": func(a, b tensor.Tensor) tensor.Tensor {
		return tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
			return one(tensor.Mul(tensor.Exp(in[0]), in[1]))
		}, a, b)[0]
	},
}

// A teacher's output in the student's loss acts like a constant of the student's scope,
// as either operand.
func TestATensorOfAnotherScopeIsAConstant(t *testing.T) {
	b := &counting{Backend: open(t)}
	w := normal(t, b, "w", 3, 3)
	data := make([]float64, 9)
	for i := range data {
		data[i] = float64(i) - 3.5
	}
	for name, fn := range pairs {
		for _, first := range []bool{true, false} {
			for _, grad := range []bool{true, false} { // whether the teacher's scope records gradients
				run := func(foreign bool) (values, gradient []float64) {
					before := b.buffers
					s := tensor.NewScope(b, tensor.Options{Grad: true})
					from := s
					if foreign {
						from = tensor.NewScope(b, tensor.Options{Grad: grad})
					}
					k := from.Floats(backend.F64, data, 3, 3)
					x := tensor.Exp(w.In(s))
					var y tensor.Tensor
					if first {
						y = fn(k, x)
					} else {
						y = fn(x, k)
					}
					if y.Scope() != s {
						t.Errorf("%s: the result is not of the scope that records", name)
					}
					values, err := y.Values()
					if err != nil {
						t.Fatal(err)
					}
					if foreign {
						from.Close() // the tape still needs k
					}
					if err := s.Backward(tensor.Sum(tensor.Mul(y, y))); err != nil {
						t.Fatal(err)
					}
					gradient = grads(t, w)
					s.Close()
					if b.buffers > before+1 { // the first run allocates w's gradient
						t.Errorf("%s: %d buffers after Close, %d before", name, b.buffers, before)
					}
					return values, gradient
				}
				v, g := run(false)
				fv, fg := run(true)
				if !slices.Equal(fv, v) || !slices.Equal(fg, g) {
					t.Errorf("%s, constant first %v: values %v and gradient %v, in one scope %v and %v", name, first, fv, fg, v, g)
				}
			}
		}
	}
}

// grads returns the gradient of p and clears it.
func grads(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	g := grad(t, p)
	if err := p.ZeroGrad(); err != nil {
		t.Fatal(err)
	}
	return g
}

// An op on two constants belongs to the scope with gradients, so that a later op with a
// parameter is on its tape.
func TestConstantsOfTwoScopesMeetInTheOneWithGradients(t *testing.T) {
	b := open(t)
	teacher, student := tensor.NewScope(b, tensor.Options{}), tensor.NewScope(b, tensor.Options{Grad: true})
	defer teacher.Close()
	defer student.Close()
	k, x := teacher.Full(backend.F64, 1, 2), student.Full(backend.F64, 1, 2)
	for _, y := range []tensor.Tensor{tensor.Add(k, x), tensor.Add(x, k)} {
		if y.Scope() != student {
			t.Error("the sum is not of the scope with gradients")
		}
	}
}

func TestTensorsOnTwoTapesPanicWithBoth(t *testing.T) {
	b := open(t)
	p, q := normal(t, b, "p", 2, 3), normal(t, b, "q", 3)
	s, other := tensor.NewScope(b, tensor.Options{Grad: true}), tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	defer other.Close()
	x, y := p.In(s), q.In(other)
	for _, c := range []struct {
		a, b tensor.Tensor
		want string
	}{
		{x, y, "operand 0, F64[2 3], is on the tape of one scope, and operand 1, F64[3], on that of another; Detach one"},
		{y, x, "operand 0, F64[3], is on the tape of one scope, and operand 1, F64[2 3], on that of another; Detach one"},
	} {
		mustPanic(t, "tensor: Mul: "+c.want, func() { tensor.Mul(c.a, c.b) })
	}
	mustPanic(t, "tensor: Concat: operand 1, F64[3], is on the tape of one scope, "+
		"and operand 2, F64[1], on that of another", func() {
		tensor.Concat(0, s.Full(backend.F64, 1, 1), y, tensor.Sum(x))
	})
	if _, err := tensor.Mul(x, tensor.Detach(y)).Values(); err != nil {
		t.Error(err)
	}
	mustPanic(t, "tensor: Backward of F64[1], which is of another scope", func() { s.Backward(tensor.Sum(y)) })
}

func TestAFailureOfAnotherScopeSurfaces(t *testing.T) {
	b := open(t)
	p := normal(t, b, "p", 3)
	teacher, student := tensor.NewScope(b, tensor.Options{}), tensor.NewScope(b, tensor.Options{Grad: true})
	defer teacher.Close()
	defer student.Close()
	broken := errors.New("broken")
	teacher.Fail(broken)
	loss := tensor.Sum(tensor.Mul(teacher.Full(backend.F64, 1, 3), p.In(student)))
	if err := student.Backward(loss); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the teacher's scope", err)
	}
}

// A tensor that Keep saves in the first run of Recompute belongs to the scope around it.
func TestAKeptTensorOfRecomputeBelongsToTheScopeAround(t *testing.T) {
	b := open(t)
	p := normal(t, b, "p", 3)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	var kept tensor.Tensor
	x := p.In(s)
	y := tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
		h := tensor.Exp(in[0])
		if !kept.Present() {
			kept = h.Keep()
		}
		return one(tensor.Mul(h, h))
	}, x)[0]
	if kept.Scope() != s {
		t.Error("the kept tensor is not of the scope around Recompute")
	}
	loss := tensor.Sum(tensor.Add(tensor.Mul(kept, y), tensor.Mul(y, tensor.Scale(kept, 2))))
	if err := s.Backward(loss); err != nil {
		t.Fatal(err)
	}
	s.Reset()
	if n := s.LiveBytes(); n != 0 {
		t.Errorf("%d bytes in use after Reset", n)
	}
}
