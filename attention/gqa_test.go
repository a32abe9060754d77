package attention_test

import (
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
)

var gqaConfigs = map[string]attention.GQAConfig{
	"llama":          {Hidden: 24, Heads: 4, KVHeads: 2, HeadDim: 8},
	"qwen2 biases":   {Hidden: 24, Heads: 6, KVHeads: 2, HeadDim: 4, Bias: true},
	"qwen3 norms":    {Hidden: 24, Heads: 4, KVHeads: 1, HeadDim: 10, QKNorm: true, Eps: 1e-3},
	"one head a key": {Hidden: 24, Heads: 3, KVHeads: 3, HeadDim: 8},
}

func newGQA(t testing.TB, b backend.Backend, dt backend.DType, cfg attention.GQAConfig) *attention.GQA {
	ps := params(t, b, dt)
	g := attention.NewGQA(ps, "attn", cfg, angles(t, b, dt, cfg.HeadDim, attention.RoPEScaling{}))
	scatterGains(t, ps)
	return g
}

// referenceGQA computes grouped-query attention from its definition: query head h attends
// to key head h/(H/G).
func referenceGQA(t testing.TB, g *attention.GQA, seq [][]float64) [][]float64 {
	project := func(x []float64, w, bias, norm []float64, pos int, turn bool) [][]float64 {
		y := matVec(w, x)
		if bias != nil {
			y = plus(y, bias)
		}
		var heads [][]float64
		for ; len(y) > 0; y = y[g.HeadDim:] {
			h := y[:g.HeadDim]
			if norm != nil {
				h = rmsNorm(h, norm, g.Eps)
			}
			if turn {
				h = rotate(h, pos, attention.Frequencies(g.HeadDim, 10000, attention.RoPEScaling{}), false)
			}
			heads = append(heads, h)
		}
		return heads
	}
	var qb, kb, vb, qn, kn []float64
	if g.Bias {
		qb, kb, vb = floats(t, g.Q.Bias), floats(t, g.K.Bias), floats(t, g.V.Bias)
	}
	if g.QKNorm {
		qn, kn = floats(t, g.QNorm), floats(t, g.KNorm)
	}
	wq, wk, wv, wo := floats(t, g.Q.W), floats(t, g.K.W), floats(t, g.V.W), floats(t, g.O.W)
	keys, values := make([][][]float64, g.KVHeads), make([][][]float64, g.KVHeads)
	scale := attention.RoPEScaling{}.SoftmaxScale(g.HeadDim)
	var out [][]float64
	for pos, x := range seq {
		for h, k := range project(x, wk, kb, kn, pos, true) {
			keys[h] = append(keys[h], k)
		}
		for h, v := range project(x, wv, vb, nil, pos, false) {
			values[h] = append(values[h], v)
		}
		var o []float64
		for h, q := range project(x, wq, qb, qn, pos, true) {
			kv := h / (g.Heads / g.KVHeads)
			o = append(o, attend(q, keys[kv], values[kv], scale)...)
		}
		out = append(out, matVec(wo, o))
	}
	return out
}

func TestGQAEqualsItsDefinition(t *testing.T) {
	b := open(t)
	lengths := []int{5, 1, 40}
	for name, cfg := range gqaConfigs {
		t.Run(name, func(t *testing.T) {
			x := normals(5, 46*cfg.Hidden)
			g := newGQA(t, b, backend.F64, cfg)
			want := each(x, lengths, func(seq [][]float64) [][]float64 { return referenceGQA(t, g, seq) })
			closeTo(t, "F64", packed(t, b, backend.F64, g, x, lengths, false), want, 1e-13)
			single := newGQA(t, b, backend.F32, cfg)
			want = each(x, lengths, func(seq [][]float64) [][]float64 { return referenceGQA(t, single, seq) })
			closeTo(t, "F32", packed(t, b, backend.F32, single, x, lengths, false), want, 2e-6)
		})
	}
}
