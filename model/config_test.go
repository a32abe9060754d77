package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// presets lists every preset, in a fixed order so that random tests are reproducible.
var presets = []struct {
	name   string
	config func() Config
}{
	{"DeepSeekV3", DeepSeekV3},
	{"DeepSeekV2", DeepSeekV2},
	{"DeepSeekV2Lite", DeepSeekV2Lite},
	{"Moonlight16BA3B", Moonlight16BA3B},
	{"R1DistillQwen1_5B", R1DistillQwen1_5B},
	{"R1DistillQwen7B", R1DistillQwen7B},
	{"R1DistillQwen14B", R1DistillQwen14B},
	{"R1DistillQwen32B", R1DistillQwen32B},
	{"R1DistillLlama8B", R1DistillLlama8B},
	{"R1DistillLlama70B", R1DistillLlama70B},
	{"Qwen3_30B_A3B", Qwen3_30B_A3B},
	{"Tiny", tiny},
}

// tiny is Tiny with a vocabulary of 32 tokens, in which 0 is the BOS token and 1 the EOS
// token.
func tiny() Config {
	c := Tiny(32)
	c.BOSTokenID, c.EOSTokenID = TokenIDs{0}, TokenIDs{1}
	return c
}

func TestPresetsAreValid(t *testing.T) {
	for _, p := range presets {
		if err := p.config().Validate(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestParameterCountsMatchThePublishedOnes(t *testing.T) {
	// Exact counts were added up tensor by tensor from the shapes in the published
	// checkpoints; rounded ones are quoted from the reports, in billions.
	for _, want := range []struct {
		name          string
		config        Config
		total, active float64
		digits        float64 // counts are rounded to a multiple of this before the comparison
	}{
		{"DeepSeek-V3", DeepSeekV3(), 671_026_419_200, 37_552_282_624, 1},
		{"DeepSeek-V2", DeepSeekV2(), 235.7e9, 21.4e9, 1e8},
		{"DeepSeek-V2-Lite", DeepSeekV2Lite(), 15.71e9, 2.66e9, 1e7},
		{"Moonlight", Moonlight16BA3B(), 15.96e9, 2.91e9, 1e7},
		{"R1-Distill-Qwen-1.5B", R1DistillQwen1_5B(), 1.777e9, 1.777e9, 1e6},
		{"R1-Distill-Qwen-7B", R1DistillQwen7B(), 7.62e9, 7.62e9, 1e7},
		{"R1-Distill-Qwen-14B", R1DistillQwen14B(), 14.8e9, 14.8e9, 1e8},
		{"R1-Distill-Qwen-32B", R1DistillQwen32B(), 32.8e9, 32.8e9, 1e8},
		{"R1-Distill-Llama-8B", R1DistillLlama8B(), 8.03e9, 8.03e9, 1e7},
		// The report says 30.5B and 3.3B; these numbers were added up from the shapes.
		{"Qwen3-30B-A3B", Qwen3_30B_A3B(), 30_532_122_624, 3_353_032_704, 1},
		{"R1-Distill-Llama-70B", R1DistillLlama70B(), 70.6e9, 70.6e9, 1e8},
	} {
		total, active := want.config.NumParams()
		round := func(n int64) float64 { return math.Round(float64(n)/want.digits) * want.digits }
		if round(total) != want.total || round(active) != want.active {
			t.Errorf("%s: %d total and %d active parameters, want %.0f and %.0f", want.name, total, active, want.total,
				want.active)
		}
	}
}

func TestMTPParametersOfDeepSeekV3(t *testing.T) {
	// README_WEIGHTS.md says 11.5B unique parameters; the shapes add up to 11.61B.
	const layer = 187_107_328 + 11_320_164_608 + 2*7168
	const want int64 = layer + 7168*14336 + 3*7168
	if got := DeepSeekV3().NumMTPParams(); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := DeepSeekV2().NumMTPParams(); got != 0 {
		t.Errorf("DeepSeek-V2 has no MTP module, got %d", got)
	}
}

func TestTinyParametersAddedUpByHand(t *testing.T) {
	const (
		attention = 64*128 + 64 + 4*48*64 + (64+16)*128 + 64 + 4*(32+32)*64 + 128*4*32
		dense     = attention + 2*128 + 3*128*344
		moe       = attention + 2*128 + 8*128 + 8 + 9*3*128*128
		moeActive = attention + 2*128 + 8*128 + 3*3*128*128
		outer     = 2*32*128 + 128
	)
	total, active := Tiny(32).NumParams()
	if want := int64(outer + dense + 3*moe); total != want {
		t.Errorf("total: got %d, want %d", total, want)
	}
	if want := int64(outer + dense + 3*moeActive); active != want {
		t.Errorf("active: got %d, want %d", active, want)
	}
}

func TestTiedQwenAndQwen3AreCounted(t *testing.T) {
	tied := R1DistillQwen1_5B() // the shape of Qwen2.5-Math-1.5B, which has tied embeddings and 1.54B parameters
	tied.TieWordEmbeddings = true
	if n, _ := tied.NumParams(); n != 1_543_714_304 {
		t.Errorf("tied 1.5B: %d parameters, want 1543714304", n)
	}
	// Qwen3-0.6B has 596,049,920 parameters.
	qwen3 := Config{
		ModelType: TypeQwen3, VocabSize: 151936, HiddenSize: 1024, IntermediateSize: 3072, NumHiddenLayers: 28,
		NumAttentionHeads: 16, NumKeyValueHeads: 8, HeadDim: 128, MaxPositionEmbeddings: 40960, HiddenAct: "silu",
		RMSNormEps: 1e-6, InitializerRange: 0.02, RoPETheta: 1e6, TieWordEmbeddings: true,
	}
	if err := qwen3.Validate(); err != nil {
		t.Error(err)
	}
	if n, _ := qwen3.NumParams(); n != 596_049_920 {
		t.Errorf("Qwen3-0.6B: %d parameters, want 596049920", n)
	}
}

func TestMoELayersOfDeepSeekV3(t *testing.T) {
	c := DeepSeekV3()
	for l, want := range map[int]bool{0: false, 2: false, 3: true, 60: true, 61: true} {
		if got := c.IsMoELayer(l); got != want {
			t.Errorf("layer %d: got %t", l, got)
		}
	}
	c.MoELayerFreq = 2
	if c.IsMoELayer(5) || !c.IsMoELayer(4) {
		t.Error("moe_layer_freq 2 must leave the odd layers dense")
	}
	q := Qwen3_30B_A3B()
	q.DecoderSparseStep, q.MLPOnlyLayers = 2, []int{3, 4}
	for l, want := range []bool{false, true, false, false, false, true} {
		if got := q.IsMoELayer(l); got != want {
			t.Errorf("qwen3_moe, decoder_sparse_step 2 without layer 3: layer %d: got %t", l, got)
		}
	}
	if R1DistillQwen1_5B().IsMoELayer(5) {
		t.Error("Qwen2 has no MoE layer")
	}
}

func TestHeadWidths(t *testing.T) {
	for _, want := range []struct {
		config   Config
		qk, rope int
	}{{DeepSeekV3(), 192, 64}, {Tiny(32), 48, 16}, {R1DistillQwen1_5B(), 128, 128}, {R1DistillLlama70B(), 128, 128}} {
		if got := want.config.QKHeadDim(); got != want.qk {
			t.Errorf("%s: QKHeadDim %d, want %d", want.config.ModelType, got, want.qk)
		}
		if got := want.config.RoPEDim(); got != want.rope {
			t.Errorf("%s: RoPEDim %d, want %d", want.config.ModelType, got, want.rope)
		}
	}
}

// Moonlight sets the routed scaling factor to the mean of 1/‖w‖₂, where w are the
// normalised top-K sigmoid gates of standard normal logits. This rule must give the
// published 2.446 and Tiny's factor.
func TestRoutedScalingFactorFollowsMoonlightsRule(t *testing.T) {
	for _, c := range []Config{Moonlight16BA3B(), Tiny(32)} {
		const seed, draws = 1, 40_000
		rng := rand.New(rand.NewPCG(seed, 0))
		var sum float64
		p := make([]float64, c.NRoutedExperts)
		for range draws {
			for i := range p {
				p[i] = 1 / (1 + math.Exp(-rng.NormFloat64()))
			}
			slices.Sort(p)
			var s, ss float64
			for _, x := range p[len(p)-c.NumExpertsPerTok:] {
				s += x
				ss += x * x
			}
			sum += s / math.Sqrt(ss)
		}
		if got := sum / draws; math.Abs(got-c.RoutedScalingFactor) > 1e-3 {
			t.Errorf("top %d of %d: mean 1/‖w‖ = %.4f (seed %d), routed_scaling_factor is %v",
				c.NumExpertsPerTok, c.NRoutedExperts, got, seed, c.RoutedScalingFactor)
		}
	}
}
