package attention_test

import (
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
)

var mlaConfigs = map[string]attention.MLAConfig{
	"query compression": {Hidden: 24, Heads: 3, QRank: 14, KVRank: 10, Nope: 6, Rope: 4, Value: 5, Interleaved: true},
	"plain query":       {Hidden: 24, Heads: 3, KVRank: 16, Nope: 8, Rope: 8, Value: 8, Interleaved: true},
	"half rotation":     {Hidden: 24, Heads: 2, QRank: 9, KVRank: 12, Nope: 4, Rope: 8, Value: 6},
	"YaRN's scale": {Hidden: 24, Heads: 2, KVRank: 12, Nope: 4, Rope: 8, Value: 6, Interleaved: true,
		Scale: v3YaRN.SoftmaxScale(12)},
}

func newMLA(t testing.TB, b backend.Backend, dt backend.DType, cfg attention.MLAConfig) *attention.MLA {
	sc := attention.RoPEScaling{}
	if cfg.Scale != 0 {
		sc = v3YaRN
	}
	ps := params(t, b, dt)
	m := attention.NewMLA(ps, "attn", cfg, angles(t, b, dt, cfg.Rope, sc))
	scatterGains(t, ps)
	return m
}

// referenceMLA computes multi-head latent attention head by head, as in DeepSeek-V3 eq.
// 1–11.
func referenceMLA(t testing.TB, m *attention.MLA, seq [][]float64) [][]float64 {
	sc := attention.RoPEScaling{}
	if m.Scale != sc.SoftmaxScale(m.Nope+m.Rope) {
		sc = v3YaRN
	}
	freq := attention.Frequencies(m.Rope, 10000, sc)
	wkva, wkvb, wo := floats(t, m.KVA.W), floats(t, m.KVB.W), floats(t, m.O.W)
	query := func(x []float64) []float64 {
		if m.QRank == 0 {
			return matVec(floats(t, m.Q.W), x)
		}
		return matVec(floats(t, m.QB.W), rmsNorm(matVec(floats(t, m.QA.W), x), floats(t, m.QNorm), 1e-6))
	}
	keys, values := make([][][]float64, m.Heads), make([][][]float64, m.Heads)
	var out [][]float64
	for pos, x := range seq {
		kv := matVec(wkva, x)
		kR := rotate(kv[m.KVRank:], pos, freq, m.Interleaved)
		up := matVec(wkvb, rmsNorm(kv[:m.KVRank], floats(t, m.KNorm), 1e-6))
		q := query(x)
		var o []float64
		for h := range m.Heads {
			qh := q[h*(m.Nope+m.Rope):][:m.Nope+m.Rope]
			qh = append(append([]float64{}, qh[:m.Nope]...), rotate(qh[m.Nope:], pos, freq, m.Interleaved)...)
			kvh := up[h*(m.Nope+m.Value):][:m.Nope+m.Value]
			keys[h] = append(keys[h], append(append([]float64{}, kvh[:m.Nope]...), kR...))
			values[h] = append(values[h], kvh[m.Nope:])
			o = append(o, attend(qh, keys[h], values[h], m.Scale)...)
		}
		out = append(out, matVec(wo, o))
	}
	return out
}

func TestBothFormsOfMLAEqualItsDefinition(t *testing.T) {
	b := open(t)
	lengths := []int{40, 1, 5}
	for name, cfg := range mlaConfigs {
		t.Run(name, func(t *testing.T) {
			x := normals(5, 46*cfg.Hidden)
			for _, c := range []struct {
				dt        backend.DType
				tolerance float64
			}{{backend.F64, 1e-13}, {backend.F32, 3e-6}} {
				m := newMLA(t, b, c.dt, cfg)
				want := each(x, lengths, func(seq [][]float64) [][]float64 { return referenceMLA(t, m, seq) })
				naive := packed(t, b, c.dt, m, x, lengths, false)
				closeTo(t, c.dt.String()+" naive", naive, want, c.tolerance)
				m.Absorbed = true
				absorbed := packed(t, b, c.dt, m, x, lengths, false)
				closeTo(t, c.dt.String()+" absorbed", absorbed, want, c.tolerance)
				closeTo(t, c.dt.String()+" absorbed against naive", absorbed, naive, 2*c.tolerance)
			}
		})
	}
}

// The cache of the absorbed form has the size of the latent and the rotated key, whatever
// the number of heads.
func TestAbsorbedCacheHoldsTheLatentOnly(t *testing.T) {
	b := open(t)
	cfg := mlaConfigs["query compression"]
	m := newMLA(t, b, backend.F32, cfg)
	for _, absorbed := range []bool{false, true} {
		m.Absorbed = absorbed
		c, err := m.NewCache(b, backend.F32, 7)
		must(t, err)
		defer c.Free()
		perToken := cfg.KVRank + cfg.Rope
		if !absorbed {
			perToken = cfg.Heads * (cfg.Nope + cfg.Rope)
		}
		if got := c.K.Len(); got != 7*perToken {
			t.Errorf("absorbed %v: keys of %d elements, want %d", absorbed, got, 7*perToken)
		}
		if shared := c.V.Buf == c.K.Buf; shared != absorbed {
			t.Errorf("absorbed %v: values in the keys' memory: %v", absorbed, shared)
		}
	}
}
