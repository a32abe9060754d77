package tensor_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// small is a model of one block that uses every kind of function.
type small struct {
	dt                                       backend.DType
	embed, norm, q, kv, out, bias            *tensor.Param
	a, b                                     *tensor.Param
	gate, gateBias, up, down, head, cos, sin *tensor.Param
	params                                   []*tensor.Param
	recompute                                bool
}

const (
	smallV, smallD, smallH, smallE, smallF = 11, 8, 2, 5, 6
)

func newSmall(t testing.TB, b backend.Backend, dt backend.DType) *small {
	m := &small{dt: dt}
	param := func(name string, shape ...int) *tensor.Param {
		p, err := tensor.NewParam(b, name, dt, shape...)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, uint64(len(m.params))))
		x := make([]float64, p.Len())
		for i := range x {
			x[i] = r.NormFloat64()
		}
		if err := p.SetFloats(x); err != nil {
			t.Fatal(err)
		}
		m.params = append(m.params, p)
		return p
	}
	m.embed, m.norm = param("embed", smallV, smallD), param("norm", smallD)
	m.q, m.kv = param("q", smallD, smallD), param("kv", smallD, smallD)
	m.out, m.bias = param("out", smallD, smallD), param("bias", smallD)
	m.a, m.b = param("a", 2, smallD), param("b", smallD, 2)
	m.gate, m.gateBias = param("gate", smallE, smallD), param("gate bias", smallE)
	m.up, m.down = param("up", smallE, 2*smallF, smallD), param("down", smallE, smallD, smallF)
	m.head = param("head", smallV, smallD)
	m.cos, m.sin = param("cos", 8, smallD/smallH/2), param("sin", 8, smallD/smallH/2)
	for _, p := range []*tensor.Param{m.cos, m.sin, m.gateBias} {
		p.Trainable = false
	}
	t.Cleanup(m.free)
	return m
}

// free frees the parameters. A second call does nothing.
func (m *small) free() {
	for _, p := range m.params {
		p.Free()
	}
	m.params = nil
}

// tokens is a batch of two sequences, one after the other.
type tokens struct{ ids, targets, pos, start, length, seqs tensor.Tensor }

func batch(s *tensor.Scope) tokens {
	start, length := ragged(s, 4, 2)
	return tokens{s.Ints([]int32{3, 1, 4, 1, 5, 9}, 6), s.Ints([]int32{1, 4, 1, -1, 9, 2}, 6), s.Ints([]int32{0, 1, 2,
		3, 0, 1}, 6),
		start, length, s.Ints([]int32{0, 4, 6}, 3)}
}

// hidden returns the block's output [N, D] and the gate's scores [N, E].
func (m *small) hidden(s *tensor.Scope, t tokens) (x, scores tensor.Tensor) {
	x = tensor.Embedding(m.embed, t.ids, m.embed.Value().DType)
	if m.recompute {
		x = tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
			return []tensor.Tensor{m.attend(in[0], in[1], in[2], in[3])}
		}, x, t.pos, t.start, t.length)[0]
		both := tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
			y, scores := m.experts(in[0])
			return []tensor.Tensor{y, scores}
		}, x)
		return both[0], both[1]
	}
	x = s.Local(func() tensor.Tensor { return m.attend(x, t.pos, t.start, t.length) })
	return m.experts(x)
}

func (m *small) attend(x, pos, start, length tensor.Tensor) tensor.Tensor {
	n, d := x.Dim(0), smallD/smallH
	h := tensor.RMSNorm(x, m.norm, 1e-6)
	q := (&tensor.Linear{W: m.q}).Forward(h).Reshape(n, smallH, d)
	kv := (&tensor.Linear{W: m.kv}).Forward(h).Split(1, d, d)
	k, v := kv[0].Contiguous().Reshape(n, 1, d), kv[1].Contiguous().Reshape(n, 1, d)
	angles := tensor.Angles{Cos: m.cos, Sin: m.sin}
	q, k = tensor.RoPE(q, pos, angles, true), tensor.RoPE(k, pos, angles, true)
	o := tensor.Attention(q, k, v, start, length, 0.5).Reshape(n, smallD)
	out := tensor.Linear{W: m.out, Bias: m.bias, Adapter: &tensor.LowRank{A: m.a, B: m.b, Scale: 0.5}}
	return tensor.Add(x, out.Forward(o))
}

func (m *small) experts(x tensor.Tensor) (y, scores tensor.Tensor) {
	rule := backend.MoEGate{Groups: 1, TopGroups: 1, Normalize: true, Scale: 1}
	weight, scores, index := tensor.Gate((&tensor.Linear{W: m.gate}).Forward(x), m.gateBias, 2, rule)
	r := tensor.Route(index, smallE)
	h := tensor.GroupedLinear(tensor.Dispatch(x, r), m.up, r.Offsets).Split(1, smallF, smallF)
	y = tensor.GroupedLinear(tensor.SwiGLU(h[0], h[1]), m.down, r.Offsets)
	return tensor.Add(x, tensor.Combine(y, weight, r)), scores
}

func (m *small) loss(s *tensor.Scope) tensor.Tensor {
	t := batch(s)
	x, scores := m.hidden(s, t)
	lp, entropy := tensor.LogProbs(square.Apply(tensor.Sigmoid(x)), m.head, t.targets, 1)
	ratio := tensor.Exp(tensor.Sub(lp, tensor.Detach(lp)))
	clipped := tensor.Minimum(tensor.Mul(ratio, s.Full(m.dt, 2, 1)), tensor.Clamp(ratio, 0.8, 1.2))
	l := tensor.Neg(tensor.Sum(tensor.Add(clipped, tensor.Scale(entropy, 0.01))))
	l = tensor.Add(l, tensor.SequenceBalance(scores, t.seqs, 2, 0.1))
	return tensor.Sub(l, tensor.Scale(tensor.Mean(tensor.Div(lp, tensor.Affine(entropy, 1, 1))), 0.1))
}

// outcome has the bits of one micro-batch: the loss and every gradient.
type outcome struct {
	loss  uint64
	grads [][]uint64
}

func (o outcome) equal(p outcome) bool {
	return o.loss == p.loss && slices.EqualFunc(o.grads, p.grads, slices.Equal[[]uint64])
}

// train runs one micro-batch in s, starting from zero gradients. It does not call Reset.
func (m *small) train(s *tensor.Scope) (outcome, error) {
	for _, p := range m.params {
		if err := p.ZeroGrad(); err != nil {
			return outcome{}, err
		}
	}
	l := m.loss(s)
	if err := s.Backward(l); err != nil {
		return outcome{}, err
	}
	if err := s.RunDeferred(); err != nil {
		return outcome{}, err
	}
	v, err := l.Item()
	if err != nil {
		return outcome{}, err
	}
	out := outcome{loss: math.Float64bits(v)}
	for _, p := range m.params {
		var bits []uint64
		if p.HasGrad() {
			g, err := p.Grad()
			if err != nil {
				return outcome{}, err
			}
			x, err := backend.Values(p.Backend(), g)
			if err != nil {
				return outcome{}, err
			}
			for _, v := range x {
				bits = append(bits, math.Float64bits(v))
			}
		}
		out.grads = append(out.grads, bits)
	}
	return out, nil
}

func (m *small) mustTrain(t testing.TB, s *tensor.Scope) outcome {
	t.Helper()
	o, err := m.train(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
