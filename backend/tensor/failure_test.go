package tensor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// mustPanic runs fn and requires a panic whose text contains want.
func mustPanic(t *testing.T, want string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r == nil {
			t.Errorf("no panic, want one with %q", want)
		} else if !strings.Contains(fmt.Sprint(r), want) {
			t.Errorf("panic %q, want one with %q", r, want)
		}
	}()
	fn()
}

// fault is the error of a failing call.
type fault int

func (f fault) Error() string { return fmt.Sprintf("fault in call %d", int(f)) }

// faulty is a backend on which call number at, counted from 0, and all later calls fail,
// until arm is called again.
type faulty struct {
	counting
	calls, at int
}

func (f *faulty) fail() error {
	f.calls++
	if n := f.calls - 1; f.at >= 0 && n >= f.at {
		return fault(n)
	}
	return nil
}

// arm makes the call number at, counted from now on, the first to fail. With −1 no call
// fails.
func (f *faulty) arm(at int) { f.calls, f.at = 0, at }

func (f *faulty) Alloc(n int) (backend.Buffer, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.counting.Alloc(n)
}

func (f *faulty) Upload(dst backend.Buffer, off int, src []byte) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.counting.Upload(dst, off, src)
}

func (f *faulty) Download(dst []byte, src backend.Buffer, off int) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.counting.Download(dst, src, off)
}

func (f *faulty) Do(op backend.Op) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.counting.Do(op)
}

func (f *faulty) PackedLen(format backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	return f.Backend.(backend.Packer).PackedLen(format, dt, k, n)
}

func newFaulty(t testing.TB) *faulty { return &faulty{counting: counting{Backend: open(t)}, at: -1} }

func TestEveryFailingCallSurfacesAndLeaksNothing(t *testing.T) {
	for _, c := range []struct {
		name                string
		recompute, deferred bool
	}{{"plain", false, false}, {"recompute", true, false}, {"deferred", false, true}, {"both", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFaulty(t)
			fresh := func() *small { // a model as at the first step, without gradients
				m := newSmall(t, f, backend.F64)
				m.recompute = c.recompute
				return m
			}
			o := tensor.Options{Grad: true, DeferWeights: c.deferred}
			m := fresh()
			f.arm(-1)
			s := tensor.NewScope(f, o)
			want := m.mustTrain(t, s)
			s.Close()
			m.free()
			total := f.calls
			if total < 100 {
				t.Fatalf("only %d calls", total)
			}
			for k := range total {
				m := fresh()
				s := tensor.NewScope(f, o)
				f.arm(k)
				_, err := m.train(s)
				f.arm(-1)
				if first := fault(-1); !errors.As(err, &first) || int(first) != k {
					t.Errorf("call %d fails: error %v", k, err)
				}
				s.Reset()
				if n := s.LiveBytes(); n != 0 {
					t.Errorf("call %d fails: %d bytes in use after Reset", k, n)
				}
				if err := s.Err(); err != nil {
					t.Errorf("call %d fails: Reset left %v", k, err)
				}
				if k%7 == 0 {
					if got := m.mustTrain(t, s); !got.equal(want) {
						t.Errorf("call %d fails: the bits of the next micro-batch differ", k)
					}
				}
				s.Close()
				m.free()
				if f.buffers != 0 {
					t.Fatalf("call %d fails: %d buffers left", k, f.buffers)
				}
			}
		})
	}
}

func TestEveryFailingCallOfInferenceSurfaces(t *testing.T) {
	f := newFaulty(t)
	run := func(m *small, s *tensor.Scope) error {
		_, err := m.loss(s).Item()
		return err
	}
	f.arm(-1)
	total := 0
	for k := -1; k < max(total, 1); k++ {
		m := newSmall(t, f, backend.F32) // no weights are packed yet
		s := tensor.NewScope(f, tensor.Options{})
		f.arm(k)
		err := run(m, s)
		if k < 0 {
			total = f.calls
		}
		f.arm(-1)
		first := fault(-1)
		switch {
		case k < 0 && err != nil:
			t.Fatal(err)
		case k >= 0 && (!errors.As(err, &first) || int(first) != k || s.Err() == nil):
			t.Errorf("call %d fails: error %v, the scope's %v", k, err, s.Err())
		}
		s.Reset()
		if n := s.LiveBytes(); n != 0 {
			t.Errorf("call %d fails: %d bytes in use after Reset", k, n)
		}
		if err := run(m, s); err != nil {
			t.Errorf("call %d failed: the next run gives %v", k, err)
		}
		s.Close()
		m.free()
		if f.buffers != 0 {
			t.Fatalf("call %d fails: %d buffers left", k, f.buffers)
		}
	}
}

func TestFailingParameterCallsLeakNothing(t *testing.T) {
	f := newFaulty(t)
	for k := range 2 {
		f.arm(k)
		if _, err := tensor.NewParam(f, "layer.weight", backend.F32, 2, 3); err == nil || !strings.Contains(err.Error(),
			"layer.weight") {
			t.Errorf("call %d fails: NewParam gives %v, want an error with the name", k, err)
		}
		if f.buffers != 0 {
			t.Errorf("call %d fails: %d buffers left", k, f.buffers)
		}
	}
}

func TestShapeMistakesPanicWithOpAndShapes(t *testing.T) {
	b := open(t)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	f := func(shape ...int) tensor.Tensor { return s.Full(backend.F32, 1, shape...) }
	param := func(name string, shape ...int) *tensor.Param {
		p, err := tensor.NewParam(b, name, backend.F32, shape...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Free)
		return p
	}
	ids := func(n int) tensor.Tensor { return s.Ints(make([]int32, n), n) }
	angles := tensor.Angles{Cos: param("cos", 3, 2), Sin: param("sin", 3, 2)}
	for _, c := range []struct {
		want string
		run  func()
	}{
		{"tensor: MatMul: a [4 7168], b [512 1536]: inner 7168 != 512", func() { tensor.MatMul(f(4, 7168), f(512, 1536)) }},
		{"tensor: MatMul: a [2 3 4], b [4 5]: want equal ranks of at least 2", func() { tensor.MatMul(f(2, 3, 4), f(4, 5)) }},
		{"tensor: MatMul: a [2 3 4], b [3 4 5]: leading [2] != [3]", func() { tensor.MatMul(f(2, 3, 4), f(3, 4, 5)) }},
		{"tensor: Add: a [2 3], b [2 4] do not broadcast", func() { tensor.Add(f(2, 3), f(2, 4)) }},
		{"tensor: Mul: a F32[2], b I32[2]: dtypes differ", func() { tensor.Mul(f(2), ids(2)) }},
		{"tensor: Linear: x [2 3], q_proj.weight [5 4]: want x [N 4]", func() {
			(&tensor.Linear{W: param("q_proj.weight",
				5, 4)}).Forward(f(2, 3))
		}},
		{"tensor: GroupedLinear: x [2 3], experts [6 5 4]: want x [N 4]", func() {
			tensor.GroupedLinear(f(2, 3),
				param("experts", 6, 5, 4), ids(7))
		}},
		{"tensor: GroupedMatMul: Offsets I32[5], want shape [7]", func() {
			tensor.GroupedLinear(f(2, 4), param("experts",
				6, 5, 4), ids(5))
		}},
		{"tensor: RMSNorm: W F32[3], want shape [4]", func() { tensor.RMSNorm(f(2, 4), param("norm", 3), 0) }},
		{"tensor: RMSNorm: X F32[2 3 4], want rank 2", func() { tensor.RMSNorm(f(2, 3, 4), param("norm", 4), 0) }},
		{"tensor: SwiGLU: Up F32[2 4], want shape [2 3]", func() { tensor.SwiGLU(f(2, 3), f(2, 4)) }},
		{"tensor: RoPE: Pos I32[3], want shape [2]", func() { tensor.RoPE(f(2, 1, 4), ids(3), angles, false) }},
		{"tensor: Attention: q [2 1 4], k [2 3], v [2 1 4]: want rank 3", func() {
			tensor.Attention(f(2, 1, 4), f(2, 3),
				f(2, 1, 4), ids(2), ids(2), 1)
		}},
		{"tensor: Attention: K F32[2 1 3], want shape [2 1 4]", func() {
			tensor.Attention(f(2, 1, 4), f(2, 1, 3), f(2, 1,
				4), ids(2), ids(2), 1)
		}},
		{"tensor: Gather: Index I32[2 2], want rank 1", func() {
			tensor.Embedding(param("embed", 3, 4), ids(4).Reshape(2,
				2), backend.F32)
		}},
		{"tensor: LogProbs: x [2 3], lm_head [7 4]", func() { tensor.LogProbs(f(2, 3), param("lm_head", 7, 4), ids(2), 1) }},
		{"tensor: Logits: x [2 3], lm_head [7 4]", func() { tensor.Logits(f(2, 3), param("lm_head", 7, 4)) }},
		{"tensor: Gate: logits [2 3 4], want rank 2", func() { tensor.Gate(f(2, 3, 4), nil, 2, backend.MoEGate{}) }},
		{"tensor: MoEGate: top 5 of 4 experts in the kept groups", func() {
			tensor.Gate(f(2, 4), nil, 5,
				backend.MoEGate{Groups: 1, TopGroups: 1})
		}},
		{"tensor: Split: sizes [1 1] of dimension 1 of [2 3]", func() { f(2, 3).Split(1, 1, 1) }},
		{"tensor: Concat on dimension 0: F32[2 3] and F32[2 4]", func() { tensor.Concat(0, f(2, 3), f(2, 4)) }},
		{"tensor: Concat on dimension 0: [2 3] and [2]", func() { tensor.Concat(0, f(2, 3), f(2)) }},
		{"tensor: Concat on dimension 0: F32[2] and I32[2]", func() { tensor.Concat(0, f(2), ids(2)) }},
		{"Reshape: [2 3] has 6 elements, [4] has 4", func() { f(2, 3).Reshape(4) }},
		{"Slice: [1:4] of dimension 1 of [2 3]", func() { f(2, 3).Slice(1, 1, 4) }},
		{"Permute: [0 2] is not a permutation", func() { f(2, 3).Permute(0, 2) }},
		{"BroadcastTo: [2 3] to [2 4]", func() { f(2, 3).Expand(2, 4) }},
		{"tensor: SumLast of a scalar", func() { tensor.SumLast(f()) }},
		{"tensor: Item of F32[2 3]", func() { f(2, 3).Item() }},
		{"tensor: Backward of F32[2]: want one element", func() { s.Backward(f(2)) }},
		{"depends on no trainable parameter", func() { s.Backward(f(1)) }},
		{"tensor: 3 values for shape [2]", func() { s.Float32s(make([]float32, 3), 2) }},
		{"tensor: Floats: BF16[2], want F32 or F64", func() { s.Floats(backend.BF16, make([]float64, 2), 2) }},
		{"tensor: copy of 2 F64 elements to or from F32[2]", func() { tensor.Download(make([]float64, 2), f(2)) }},
		{"tensor: copy of 2 I32 elements to or from F32[2]", func() { tensor.Upload(f(2), make([]int32, 2)) }},
		{"tensor: copy of 0 F32 elements to or from F32[2]", func() { tensor.Upload(f(2), []float32(nil)) }},
		{"tensor: copy of 0 F32 elements to or from F32[2]", func() { tensor.Download([]float32(nil), f(2)) }},
		{"tensor: Record in a scope that records gradients", func() { s.Record(func() {}) }},
	} {
		mustPanic(t, c.want, c.run)
	}
}

func TestFuncGradientsMustFitTheirInputs(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 2, 3)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	back := func(grads func(dOut tensor.Tensor) []tensor.Tensor) func() {
		f := square
		f.Backward = func(_ *tensor.Scope, _ []tensor.Tensor, _, dOut tensor.Tensor) []tensor.Tensor { return grads(dOut) }
		return func() {
			s.Reset()
			s.Backward(tensor.Sum(f.Apply(p.In(s))))
		}
	}
	mustPanic(t, "tensor: Func: gradient F64[2] of input 0, F64[2 3]",
		back(func(d tensor.Tensor) []tensor.Tensor { return one(tensor.SumLast(d)) }))
	mustPanic(t, "tensor: Func: Backward returned 2 gradients for 1 inputs",
		back(func(d tensor.Tensor) []tensor.Tensor { return []tensor.Tensor{d, d} }))
}

func TestBackwardPanicsWhereAGradientWouldBeLost(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 3)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	const lost = "which an earlier Backward has passed"
	x := p.In(s)
	shared := tensor.Exp(x).Keep()
	first, second := tensor.Sum(shared), tensor.Sum(tensor.Mul(shared, shared)).Keep()
	if err := s.Backward(first); err != nil {
		t.Fatal(err)
	}
	mustPanic(t, lost, func() { s.Backward(first) })
	mustPanic(t, lost, func() { s.Backward(second) })
	mustPanic(t, lost, func() { s.Backward(tensor.Sum(shared)) })
	s.Reset()
	// Reset takes x off the tape, although the parameter's memory stays valid.
	mustPanic(t, lost, func() { s.Backward(tensor.Sum(x)) })
	s.Reset()
	if err := s.Backward(tensor.Sum(p.In(s))); err != nil {
		t.Error(err)
	}
}

// A gradient for a parameter that no optimizer updates would be lost.
func TestAGradientForAParameterThatIsNotTrainedIsAnError(t *testing.T) {
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{Std: 1})
	own := ps.Matrix("own", 3, 3)
	stray, err := tensor.NewParam(b, "own", backend.F32, 3, 3) // same name as own
	if err != nil {
		t.Fatal(err)
	}
	for _, recompute := range []bool{false, true} {
		s := tensor.NewScope(b, tensor.Options{Grad: true, Trained: ps})
		through := func(p *tensor.Param) error {
			fn := func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
				return []tensor.Tensor{(&tensor.Linear{W: p}).Forward(in[0])}
			}
			x := own.In(s)
			if recompute {
				return s.Backward(tensor.Sum(tensor.Recompute(fn, x)[0]))
			}
			return s.Backward(tensor.Sum(fn(s, []tensor.Tensor{x})[0]))
		}
		if err := through(own); err != nil {
			t.Errorf("recompute %v: %v", recompute, err)
		}
		err := through(stray)
		if err == nil || !strings.Contains(err.Error(), "parameter own has a gradient and would never be updated") ||
			stray.HasGrad() {
			t.Errorf("recompute %v: got %v", recompute, err)
		}
		s.Close()
	}
}
