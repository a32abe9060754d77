package mtp_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// config is a small V3 model with two MTP modules.
func config() model.Config {
	c := model.Tiny(32)
	c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 24, 40, 12
	c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads = 2, 2, 2
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 16, 12, 8, 4, 8
	c.InitializerRange = 0.3
	c.NumNextNPredictLayers = 2
	return c
}

func newModel(t testing.TB, dt backend.DType) (*model.Model, *mtp.MTP) {
	t.Helper()
	b, err := backend.Open("cpu")
	must(t, err)
	t.Cleanup(func() { b.Close() })
	m, err := model.NewWith(b, config(), 3, model.Options{DType: dt})
	must(t, err)
	t.Cleanup(m.Free)
	d, err := mtp.New(m)
	must(t, err)
	return m, d
}

// sequences returns seeded random sequences of the given numbers of tokens.
func sequences(seed uint64, lengths ...int) []model.Sequence {
	rng := rand.New(rand.NewPCG(seed, 0))
	var seqs []model.Sequence
	for _, n := range lengths {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = rng.Int32N(32)
		}
		seqs = append(seqs, model.Sequence{IDs: ids})
	}
	return seqs
}

// loss is the MTP loss of seqs as a part of a global batch.
func loss(t testing.TB, m *model.Model, d *mtp.MTP, seqs []model.Sequence, g model.Global) float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	b := m.NewBatch(s, seqs, g)
	l, _ := d.Loss(s, m.Forward(s, b), b)
	v, err := l.Item()
	must(t, err)
	return v
}

func near(t testing.TB, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-13*max(1, math.Abs(want))) {
		t.Errorf("%s: %.17g, want %.17g", what, got, want)
	}
}

// The modules' parameters are added to the model's, named as layers after its last one, as
// in checkpoints.
func TestParametersHaveCheckpointNames(t *testing.T) {
	m, d := newModel(t, backend.F32)
	for k := range 2 {
		prefix := fmt.Sprintf("model.layers.%d.", m.Config.NumHiddenLayers+k)
		var got []string
		for _, p := range m.Params.All() {
			if name, ok := strings.CutPrefix(p.Name, prefix); ok && !strings.HasPrefix(name, "self_attn.") &&
				!strings.HasPrefix(name, "mlp.") {
				got = append(got, fmt.Sprint(name, p.Shape()))
			}
		}
		slices.Sort(got)
		want := []string{
			"eh_proj.weight[24 48]", "enorm.weight[24]", "hnorm.weight[24]",
			"input_layernorm.weight[24]", "post_attention_layernorm.weight[24]", "shared_head.norm.weight[24]",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s*: %v, want %v", prefix, got, want)
		}
	}
	gates, layers := d.Gates()
	if len(gates) != 2 || !slices.Equal(layers, []int{2, 3}) {
		t.Errorf("%d gates in layers %v, want two in 2 and 3", len(gates), layers)
	}
	if total, _ := m.Config.NumParams(); int64(m.Params.Len()) != total+m.Config.NumMTPParams() {
		t.Errorf("%d parameters, the config counts %d", m.Params.Len(), total+m.Config.NumMTPParams())
	}
}

// The modules use the same form of MLA as the model.
func TestModulesTakeTheModelsFormOfMLA(t *testing.T) {
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	for _, absorbed := range []bool{false, true} {
		m, err := model.NewWith(b, config(), 1, model.Options{Absorbed: absorbed})
		must(t, err)
		defer m.Free()
		d, err := mtp.New(m)
		must(t, err)
		for k, mod := range d.Modules {
			if got := mod.Block.(*model.Layer).Attention.(*attention.MLA).Absorbed; got != absorbed {
				t.Errorf("module %d: absorbed %v in a model with %v", k, got, absorbed)
			}
		}
	}
}

func TestConfigWithoutModulesIsAnError(t *testing.T) {
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	cfg := config()
	cfg.NumNextNPredictLayers = 0
	m, err := model.New(b, cfg, 1)
	must(t, err)
	defer m.Free()
	if _, err := mtp.New(m); err == nil || !strings.Contains(err.Error(), "num_nextn_predict_layers") {
		t.Errorf("error %v, want one that names num_nextn_predict_layers", err)
	}
}

// The expected loss is eq. 24–25, computed from the probabilities that the modules give
// when they run on one sequence at a time, with each target looked up by its position in
// the sequence.
func TestLossIsTheMeanOverDepthsOfCrossEntropies(t *testing.T) {
	m, d := newModel(t, backend.F64)
	d.Lambda = 0.7
	const seed = 5
	t.Log("seed", seed)
	seqs := sequences(seed, 9, 2, 3, 14)
	total := model.Totals(seqs)
	want := 0.0
	for _, q := range seqs {
		s := tensor.NewScope(m.Backend(), tensor.Options{})
		b := m.NewBatch(s, []model.Sequence{q}, total)
		h := m.Forward(s, b).Residual
		for k, mod := range d.Modules {
			rows := len(q.IDs) - 2 - k
			if rows < 1 {
				break
			}
			one := m.NewBatch(s, []model.Sequence{{IDs: make([]int32, rows+1)}}, total) // positions 0 to rows−1
			h, _ = mod.Forward(m, h.Slice(0, 0, rows).Contiguous(), s.Ints(q.IDs[k+1:k+1+rows], rows), one.Rows)
			logits, err := tensor.Logits(tensor.RMSNorm(h, mod.Norm, m.Config.RMSNormEps), m.Head).Values()
			must(t, err)
			for i := range rows {
				z := logits[i*m.Config.VocabSize : (i+1)*m.Config.VocabSize]
				sum := 0.0
				for _, v := range z {
					sum += math.Exp(v)
				}
				want += d.Lambda / 2 / total.Weight * (math.Log(sum) - z[q.IDs[i+k+2]])
			}
		}
		s.Close()
	}
	near(t, "loss", loss(t, m, d, seqs, total), want)
}

func TestNothingCrossesSequences(t *testing.T) {
	m, d := newModel(t, backend.F64)
	const seed = 6
	t.Log("seed", seed)
	seqs := sequences(seed, 4, 11, 2, 3, 7)
	g := model.Totals(seqs)
	sum := 0.0
	for _, q := range seqs {
		sum += loss(t, m, d, []model.Sequence{q}, g)
	}
	near(t, "packed against alone", loss(t, m, d, seqs, g), sum)
	slices.Reverse(seqs)
	near(t, "in another order", loss(t, m, d, seqs, g), sum)
}

// A sequence of n tokens has n−1−k rows at depth k. A depth without rows adds nothing to
// the loss, and a batch without rows at any depth has loss 0.
func TestShortSequences(t *testing.T) {
	m, d := newModel(t, backend.F64)
	const seed = 7
	t.Log("seed", seed)
	if got := loss(t, m, d, sequences(seed, 2, 2), model.Global{Weight: 1, Sequences: 1}); got != 0 {
		t.Errorf("loss of sequences of two tokens: %v", got)
	}
	// Sequences of three tokens have rows at depth 1 only, so the second module gets no
	// gradient.
	s := tensor.NewScope(m.Backend(), tensor.Options{Grad: true})
	defer s.Close()
	seqs := sequences(seed, 3, 2)
	b := m.NewBatch(s, seqs, model.Totals(seqs))
	l, _ := d.Loss(s, m.Forward(s, b), b)
	must(t, s.Backward(l))
	for k, mod := range d.Modules {
		if got := mod.EHProj.W.HasGrad(); got != (k == 0) {
			t.Errorf("module %d has a gradient: %v", k, got)
		}
	}
}

func TestLambdaScalesTheLoss(t *testing.T) {
	m, d := newModel(t, backend.F64)
	seqs := sequences(8, 9)
	if d.Lambda != 0.3 {
		t.Errorf("λ starts at %v", d.Lambda)
	}
	base := loss(t, m, d, seqs, model.Totals(seqs))
	d.Lambda = 0.6
	near(t, "λ doubled", loss(t, m, d, seqs, model.Totals(seqs)), 2*base)
	d.Lambda = 0
	if got := loss(t, m, d, seqs, model.Totals(seqs)); got != 0 {
		t.Errorf("λ 0: loss %v", got)
	}
}

// The loss is linear in the weights. A masked last token, which no module reads, does not
// affect it.
func TestWeightsAndMasks(t *testing.T) {
	m, d := newModel(t, backend.F64)
	const seed = 9
	t.Log("seed", seed)
	q := sequences(seed, 8)[0]
	g := model.Global{Weight: 7, Sequences: 1}
	weighted := func(w ...float32) float64 {
		return loss(t, m, d, []model.Sequence{{IDs: q.IDs, Weight: w}}, g)
	}
	near(t, "sum of parts", weighted(1, 0, 3, 0, 2, 0, 0)+weighted(0, 2, 0, 1, 0, 0.5, 4), weighted(1, 2, 3, 1, 2, 0.5, 4))
	near(t, "weights of one", weighted(1, 1, 1, 1, 1, 1, 1), loss(t, m, d, []model.Sequence{q}, g))
	near(t, "the first target has no MTP term", weighted(5, 0, 0, 0, 0, 0, 0), 0)
	masked := weighted(1, 1, 1, 1, 1, 1, 0)
	q.IDs = slices.Clone(q.IDs)
	q.IDs[7] = (q.IDs[7] + 1) % 32
	if got := weighted(1, 1, 1, 1, 1, 1, 0); got != masked {
		t.Errorf("a masked last token changes the loss from %v to %v", masked, got)
	}
	if got := weighted(1, 1, 1, 1, 1, 1, 1); got == loss(t, m, d, sequences(seed, 8), g) {
		t.Error("an unmasked last token does not change the loss")
	}
}
