package cpu

import (
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

// gradCheck compares gradients with central differences in float64.
type gradCheck struct {
	*bench
	forward backend.Op
	// outputs are results of forward; cotangents are the gradients with respect
	// to them.
	outputs, cotangents []backend.View
}

func newGradCheck(t *testing.T) *gradCheck {
	return &gradCheck{bench: newBench(t, backend.F64, 2, 14)}
}

// objective returns Σ output·cotangent.
func (c *gradCheck) objective() float64 {
	c.do(c.forward)
	var sum float64
	for i, out := range c.outputs {
		y, g := data[float64](&out), data[float64](&c.cotangents[i])
		for j := range out.Len() {
			sum += y[j] * g[j]
		}
	}
	return sum
}

// gradient compares got, the gradient with respect to input, with fourth-order
// finite differences at every step-th element.
func (c *gradCheck) gradient(name string, got, input backend.View, step int) {
	c.t.Helper()
	const h = 3e-4
	x, g := data[float64](&input), data[float64](&got)
	var diff, norm float64
	for i := 0; i < input.Len(); i += step {
		old := x[i]
		at := func(x0 float64) float64 {
			x[i] = x0
			return c.objective()
		}
		want := (8*(at(old+h)-at(old-h)) - (at(old+2*h) - at(old-2*h))) / (12 * h)
		x[i] = old
		diff += (g[i] - want) * (g[i] - want)
		norm += want * want
	}
	c.do(c.forward) // restores the results that the next gradient op reads
	if norm == 0 {
		c.t.Errorf("%s: finite differences vanish", name)
	} else if e := math.Sqrt(diff / norm); !(e < 1e-7) {
		c.t.Errorf("%s: relative error %.2g against finite differences", name, e)
	}
}

func TestRMSNormGrad(t *testing.T) {
	c := newGradCheck(t)
	const n, d = sumRows + 3, 5
	f := &backend.RMSNorm{Y: c.zeros(n, d), Rstd: c.zeros(n), X: c.normal(n, d), W: c.normal(d), Eps: 1e-3}
	c.forward, c.outputs, c.cotangents = f, []backend.View{f.Y}, []backend.View{c.normal(n, d)}
	c.do(f)
	g := &backend.RMSNormGrad{DX: c.zeros(n, d), DW: c.zeros(d), DY: c.cotangents[0], X: f.X, W: f.W, Rstd: f.Rstd}
	c.do(g)
	c.gradient("DX", g.DX, f.X, 7)
	c.gradient("DW", g.DW, f.W, 1)
}

func TestRoPEGradIsTheInverseRotation(t *testing.T) {
	for _, interleaved := range []bool{false, true} {
		c := newGradCheck(t)
		const n, h, r, positions = 5, 2, 6, 9
		angle := c.normal(positions, r/2)
		f := &backend.RoPE{Y: c.zeros(n, h, r), X: c.normal(n, h, r), Pos: c.ints(c.ids(n, positions), n),
			Cos: c.zeros(positions, r/2), Sin: c.zeros(positions, r/2), Interleaved: interleaved}
		for i, a := range data[float64](&angle)[:angle.Len()] {
			data[float64](&f.Sin)[i], data[float64](&f.Cos)[i] = math.Sincos(a)
		}
		c.forward, c.outputs, c.cotangents = f, []backend.View{f.Y}, []backend.View{c.normal(n, h, r)}
		g := *f
		g.X, g.Y, g.Inverse = c.cotangents[0], c.zeros(n, h, r), true
		c.do(&g)
		c.gradient("X", g.Y, f.X, 1)
	}
}

func TestSwiGLUGrad(t *testing.T) {
	c := newGradCheck(t)
	f := &backend.SwiGLU{Y: c.zeros(3, 7), Gate: c.normal(3, 7), Up: c.normal(3, 7)}
	c.forward, c.outputs, c.cotangents = f, []backend.View{f.Y}, []backend.View{c.normal(3, 7)}
	g := &backend.SwiGLUGrad{DGate: c.zeros(3, 7), DUp: c.zeros(3, 7), DY: c.cotangents[0], Gate: f.Gate, Up: f.Up}
	c.do(g)
	c.gradient("DGate", g.DGate, f.Gate, 1)
	c.gradient("DUp", g.DUp, f.Up, 1)
}

func TestAttentionGrad(t *testing.T) {
	const heads, groups, dk, dv, keys = 4, 2, 5, 3, 13
	for _, w := range []struct {
		name          string
		start, length []int32
	}{
		{"packed sequences", []int32{0, 0, 0, 0, 4, 4, 4, 7, 7}, []int32{1, 2, 3, 4, 1, 2, 3, 1, 2}},
		{"rows without keys", []int32{0, 2, 2, 0, 2, 0}, []int32{0, 1, 2, 0, 3, 0}},
		{"a chunk of a sequence", []int32{3, 3, 3}, []int32{8, 9, 10}},
		{"windows that share keys", []int32{0, 1, 2, 3, 1}, []int32{3, 3, 3, 3, 4}},
	} {
		t.Run(w.name, func(t *testing.T) {
			c := newGradCheck(t)
			n := len(w.start)
			f := &backend.Attention{O: c.zeros(n, heads, dv), LSE: c.zeros(n, heads), Q: c.normal(n, heads, dk),
				K: c.normal(keys, groups, dk), V: c.normal(keys, groups, dv),
				Start: c.ints(w.start, n), Len: c.ints(w.length, n), Scale: 0.4}
			c.forward, c.outputs, c.cotangents = f, []backend.View{f.O}, []backend.View{c.normal(n, heads, dv)}
			c.do(f)
			g := &backend.AttentionGrad{DQ: c.normal(n, heads, dk), DK: c.normal(keys, groups, dk), DV: c.normal(keys,
				groups, dv), DO: c.cotangents[0],
				O: f.O, LSE: f.LSE, Q: f.Q, K: f.K, V: f.V, Start: f.Start, Len: f.Len, Scale: f.Scale}
			c.do(g)
			c.gradient("DQ", g.DQ, f.Q, 1)
			c.gradient("DK", g.DK, f.K, 1)
			c.gradient("DV", g.DV, f.V, 1)
		})
	}
}

func TestMoEGateGrad(t *testing.T) {
	const n, experts, k = 6, 8, 3
	for _, scoring := range []backend.Scoring{backend.ScoreSigmoid, backend.ScoreSoftmax} {
		for _, normalize := range []bool{false, true} {
			c := newGradCheck(t)
			f := &backend.MoEGate{Weight: c.zeros(n, k), Index: c.ints(nil, n, k), Scores: c.zeros(n, experts),
				Logits: c.normal(n, experts), Bias: c.normal(experts),
				Scoring: scoring, Groups: 4, TopGroups: 2, Normalize: normalize, Scale: 2.5}
			c.forward, c.outputs, c.cotangents = f, []backend.View{f.Weight, f.Scores}, []backend.View{c.normal(n, k),
				c.normal(n, experts)}
			c.do(f)
			g := &backend.MoEGateGrad{DLogits: c.zeros(n, experts), DWeight: c.cotangents[0], DScores: c.cotangents[1],
				Scores: f.Scores, Index: f.Index,
				Scoring: scoring, Normalize: normalize, Scale: f.Scale}
			c.do(g)
			c.gradient("DLogits", g.DLogits, f.Logits, 1)

			c.outputs, c.cotangents = c.outputs[:1], c.cotangents[:1]
			g.DScores = backend.View{}
			c.do(g)
			c.gradient("DLogits of Weight alone", g.DLogits, f.Logits, 1)
		}
	}
}

func TestMoECombineGrad(t *testing.T) {
	c := newGradCheck(t)
	const n, k, d = 5, 3, 4
	f := &backend.MoECombine{Y: c.zeros(n, d), X: c.normal(n*k, d), Weight: c.normal(n, k),
		Inverse: c.ints(c.permutation(n*k), n, k)}
	c.forward, c.outputs, c.cotangents = f, []backend.View{f.Y}, []backend.View{c.normal(n, d)}
	g := &backend.MoECombineGrad{DX: c.zeros(n*k, d), DWeight: c.zeros(n, k), DY: c.cotangents[0], X: f.X,
		Weight: f.Weight, Inverse: f.Inverse}
	c.do(g)
	c.gradient("DX", g.DX, f.X, 1)
	c.gradient("DWeight", g.DWeight, f.Weight, 1)
}

func TestSequenceBalanceGrad(t *testing.T) {
	c := newGradCheck(t)
	const n, experts = 12, 6
	f := &backend.SequenceBalance{Loss: c.zeros(1), Scores: c.positive(n, experts), SeqStart: c.ints([]int32{1, 6, 6,
		11}, 4), K: 2, Coef: 0.3}
	c.forward, c.outputs, c.cotangents = f, []backend.View{f.Loss}, []backend.View{c.normal(1)}
	g := &backend.SequenceBalanceGrad{DScores: c.normal(n, experts), DLoss: c.cotangents[0], Scores: f.Scores,
		SeqStart: f.SeqStart, K: f.K, Coef: f.Coef}
	c.do(g)
	c.gradient("DScores", g.DScores, f.Scores, 1)
	for i, v := range floats(g.DScores) {
		if row := i / experts; (row < 1 || row >= 11) && v != 0 {
			t.Errorf("row %d lies in no sequence but has gradient %v", row, v)
		}
	}
}

func TestLinearLogProbGrad(t *testing.T) {
	for _, s := range []struct {
		name              string
		n, d, vocab, step int
	}{
		{"one chunk", 5, 4, 7, 1},
		{"two chunks", 2, 3, backend.VocabChunk + 5, 1201},
		{"many rows", gradRows + 3, 3, 6, 10},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newGradCheck(t)
			target := c.ids(s.n, s.vocab)
			target[s.n-1] = -1
			f := &backend.LinearLogProb{LogProb: c.zeros(s.n), LSE: c.zeros(s.n), Entropy: c.zeros(s.n), X: c.normal(s.n,
				s.d), W: backend.MatrixOf(c.normal(s.vocab, s.d).T()), Target: c.ints(target, s.n), InvTemp: 1.3}
			c.forward, c.outputs, c.cotangents = f, []backend.View{f.LogProb, f.Entropy}, []backend.View{c.normal(s.n),
				c.normal(s.n)}
			c.do(f)
			g := &backend.LinearLogProbGrad{DX: c.normal(s.n, s.d), DW: c.zeros(s.vocab, s.d), DLogProb: c.cotangents[0],
				DEntropy: c.cotangents[1],
				X:        f.X, W: f.W, Target: f.Target, LSE: f.LSE, Entropy: f.Entropy, InvTemp: f.InvTemp}
			c.do(g)
			c.gradient("DX", g.DX, f.X, (s.step+99)/100)
			c.gradient("DW", g.DW, f.W.Data.T(), s.step)

			c.outputs, c.cotangents = c.outputs[:1], c.cotangents[:1]
			g.DEntropy, g.DW = backend.View{}, backend.View{}
			c.do(g)
			c.gradient("DX without entropy", g.DX, f.X, (s.step+99)/100)
		})
	}
}

func TestWeightGradientsAddToWhatIsThere(t *testing.T) {
	c := newGradCheck(t)
	norm := &backend.RMSNormGrad{DX: c.zeros(9, 4), DW: c.zeros(4), DY: c.normal(9, 4), X: c.normal(9, 4),
		W: c.normal(4), Rstd: c.positive(9)}
	head := &backend.LinearLogProbGrad{DW: c.zeros(6, 4), DLogProb: c.normal(9), X: c.normal(9, 4),
		W: backend.MatrixOf(c.normal(6, 4).T()), Target: c.ints(c.ids(9, 6), 9), LSE: c.positive(9), InvTemp: 1}
	for _, g := range []struct {
		op backend.Op
		dw backend.View
	}{{norm, norm.DW}, {head, head.DW}} {
		c.do(g.op)
		once := floats(g.dw)
		c.do(g.op)
		for i, v := range floats(g.dw) {
			if math.Abs(v-2*once[i]) > 1e-12*(1+math.Abs(v)) {
				t.Errorf("%s: DW[%d] = %v after two calls, %v after one", g.op.Name(), i, v, once[i])
			}
		}
	}
}
