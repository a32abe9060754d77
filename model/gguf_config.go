package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/aha-go/aha/model/gguf"
)

// ggufTypes maps GGUF architectures to model types. deepseek2 is DeepSeek-V2 or V3,
// depending on the gating function.
var ggufTypes = map[string]string{
	"llama": TypeLlama, "qwen2": TypeQwen2, "qwen3": TypeQwen3, "qwen3moe": TypeQwen3MoE, "deepseek2": TypeDeepSeekV2,
}

// ggufForeign are the keys, after the architecture's name, that change what a model
// computes in ways that this package does not support.
var ggufForeign = []string{
	"attention.scale", "attention.output_scale", "attention.temperature_scale", "attention.sliding_window",
	"attention.causal", "attention.max_alibi_bias", "attention.clamp_kqv", "attn_logit_softcapping",
	"final_logit_softcapping", "logit_scale", "embedding_scale", "residual_scale", "use_parallel_residual",
	"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_ext_factor", "rope.scaling.alpha",
	"rope.scale_linear",
}

// Values of expert_gating_func.
const (
	ggufSoftmax = 1
	ggufSigmoid = 2
)

// ggufMetadata reads the keys of an architecture and keeps the first error.
type ggufMetadata struct {
	gguf.Metadata
	arch string
	err  error
}

func (m *ggufMetadata) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// key returns the full name of a key of the architecture.
func (m *ggufMetadata) key(name string) string { return m.arch + "." + name }

// has reports whether the metadata has a key of the architecture.
func (m *ggufMetadata) has(name string) bool { return m.Has(m.key(name)) }

// int returns the value of a key, which may be a list with one value per layer if all are
// equal.
func (m *ggufMetadata) int(name string) int {
	list, err := m.Ints(m.key(name))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("gguf: key %q: %w: an empty array", m.key(name), gguf.ErrValue)
	}
	if err != nil {
		m.fail(err)
		return 0
	}
	if i := slices.IndexFunc(list, func(n int) bool { return n != list[0] }); i > 0 {
		m.fail(fmt.Errorf("gguf: key %q: %w: %d of layer 0, %d of layer %d: layers that differ are not supported",
			m.key(name), gguf.ErrValue, list[0], list[i], i))
	}
	return list[0]
}

// intOr returns the value of a key, or absent if there is no such key.
func (m *ggufMetadata) intOr(name string, absent int) int {
	if !m.has(name) {
		return absent
	}
	return m.int(name)
}

// float returns a key's float32 as the shortest decimal, as in a config.json.
func (m *ggufMetadata) float(name string) float64 {
	v, err := gguf.Value[float32](m.Metadata, m.key(name))
	if err != nil {
		m.fail(err)
	}
	f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	return f
}

func (m *ggufMetadata) floatOr(name string, absent float64) float64 {
	if !m.has(name) {
		return absent
	}
	return m.float(name)
}

// ids returns the token ids of the given keys, without absent keys and duplicates.
func (m *ggufMetadata) ids(keys ...string) (ids TokenIDs) {
	for _, key := range keys {
		n, err := m.Int(key)
		if errors.Is(err, gguf.ErrMissing) {
			continue
		} else if err != nil {
			m.fail(err)
		}
		if len(ids) == 0 || ids[0] != n {
			ids = append(ids, n)
		}
	}
	return ids
}

// ggufConfig returns the config that corresponds to the metadata and tensors of a file.
// InitializerRange, which GGUF lacks, is transformers' default 0.02.
func ggufConfig(r *gguf.Reader) (Config, error) {
	m := &ggufMetadata{Metadata: r.Metadata}
	var err error
	if m.arch, err = gguf.Value[string](r.Metadata, "general.architecture"); err != nil {
		return Config{}, err
	}
	modelType, ok := ggufTypes[m.arch]
	if !ok {
		return Config{}, fmt.Errorf("architecture %.80q is not supported", m.arch)
	}
	if n, err := m.Int("split.count"); err == nil && n > 1 {
		return Config{}, fmt.Errorf("it is one of %d split files: join them with llama-gguf-split --merge", n)
	}
	for _, name := range ggufForeign {
		if m.has(name) {
			return Config{}, fmt.Errorf("key %q changes the model and is not supported", m.key(name))
		}
	}
	embed, ok := r.Find("token_embd.weight")
	if !ok || len(embed.Shape) != 2 {
		return Config{}, fmt.Errorf("no matrix token_embd.weight: %w", gguf.ErrMissing)
	}
	_, hasHead := r.Find("output.weight")
	c := Config{
		ModelType: modelType, VocabSize: embed.Shape[0], HiddenSize: m.int("embedding_length"),
		IntermediateSize: m.int("feed_forward_length"), NumHiddenLayers: m.int("block_count"),
		NumAttentionHeads: m.int("attention.head_count"), MaxPositionEmbeddings: m.int("context_length"),
		HiddenAct: "silu", RMSNormEps: m.float("attention.layer_norm_rms_epsilon"), InitializerRange: 0.02,
		TieWordEmbeddings: !hasHead, RoPETheta: m.floatOr("rope.freq_base", 10000),
		BOSTokenID: m.ids("tokenizer.ggml.bos_token_id"),
		EOSTokenID: m.ids(ggufEOS, ggufEOT),
	}
	if modelType == TypeDeepSeekV2 {
		m.mla(&c)
	} else {
		m.gqa(&c)
	}
	m.ropeScaling(&c)
	if m.err == nil {
		m.fail(c.Validate())
	}
	if m.err == nil && modelType == TypeLlama {
		m.fail(llama3Scaling(&c, r))
	}
	return c, m.err
}

// gqa reads the keys of grouped-query attention, and of the experts of qwen3moe.
func (m *ggufMetadata) gqa(c *Config) {
	c.NumKeyValueHeads = m.intOr("attention.head_count_kv", c.NumAttentionHeads)
	c.HeadDim = m.intOr("attention.key_length", 0)
	if c.NumAttentionHeads <= 0 {
		return // Validate reports it
	}
	width := c.QKHeadDim()
	if n := m.intOr("attention.value_length", width); n != width {
		m.fail(fmt.Errorf("values of width %d with keys of width %d are not supported", n, width))
	}
	if n := m.intOr("rope.dimension_count", width); n != width {
		m.fail(fmt.Errorf("RoPE of %d elements in heads of %d is not supported", n, width))
	}
	if c.ModelType == TypeQwen3 || c.ModelType == TypeQwen3MoE {
		c.HeadDim = width
	}
	experts := m.intOr("expert_count", 0)
	if c.ModelType == TypeQwen3MoE {
		c.NRoutedExperts, c.NumExpertsPerTok = experts, m.int("expert_used_count")
		c.MoEIntermediateSize = m.int("expert_feed_forward_length")
		c.NormTopKProb, c.DecoderSparseStep = true, 1
	} else if experts > 0 {
		m.fail(fmt.Errorf("experts in architecture %q are not supported", m.arch))
	}
}

// mla reads the keys of DeepSeek-V2 and V3. In files made since llama.cpp splits kv_b_proj,
// key_length is the width of the absorbed form, and key_length_mla is the width of a head.
func (m *ggufMetadata) mla(c *Config) {
	c.NumKeyValueHeads, c.RoPEInterleave = c.NumAttentionHeads, true
	c.QLoRARank, c.KVLoRARank = m.intOr("attention.q_lora_rank", 0), m.int("attention.kv_lora_rank")
	c.QKRopeHeadDim = m.int("rope.dimension_count")
	key, value := "attention.key_length", "attention.value_length"
	if m.has(key + "_mla") {
		key, value = key+"_mla", value+"_mla"
	}
	c.QKNopeHeadDim, c.VHeadDim = m.int(key)-c.QKRopeHeadDim, m.int(value)
	if c.NRoutedExperts = m.intOr("expert_count", 0); c.NRoutedExperts == 0 {
		return
	}
	c.NumExpertsPerTok, c.MoEIntermediateSize = m.int("expert_used_count"), m.int("expert_feed_forward_length")
	c.NSharedExperts, c.FirstKDenseReplace = m.intOr("expert_shared_count", 0), m.intOr("leading_dense_block_count", 0)
	c.MoELayerFreq, c.RoutedScalingFactor = 1, m.floatOr("expert_weights_scale", 1)
	if name := "expert_weights_norm"; m.has(name) {
		norm, err := gguf.Value[bool](m.Metadata, m.key(name))
		c.NormTopKProb = norm
		m.fail(err)
	}
	switch n := m.intOr("expert_gating_func", ggufSoftmax); n {
	case ggufSoftmax:
		c.ScoringFunc, c.TopKMethod = "softmax", "greedy"
	case ggufSigmoid:
		c.ModelType, c.ScoringFunc, c.TopKMethod = TypeDeepSeekV3, "sigmoid", "noaux_tc"
	default:
		m.fail(fmt.Errorf("gguf: key %q: %w %d: want 1, softmax, or 2, sigmoid", m.key("expert_gating_func"),
			gguf.ErrValue, n))
	}
	c.NGroup, c.TopKGroup = m.groups(c)
	if c.NGroup > 1 && c.ModelType == TypeDeepSeekV2 {
		c.TopKMethod = "group_limited_greedy"
	}
}

// groups returns the number of expert groups and the number that a token may use. Files
// from before GGUF had a key for them do not say; of the models of that time, those with
// groups are DeepSeek-V3 with 256 experts and V2 with 160.
func (m *ggufMetadata) groups(c *Config) (n, kept int) {
	switch {
	case m.has("expert_group_count"):
		return max(1, m.int("expert_group_count")), max(1, m.int("expert_group_used_count"))
	case c.ModelType == TypeDeepSeekV3 && c.NRoutedExperts == 256:
		return 8, 4
	case c.ModelType == TypeDeepSeekV2 && c.NRoutedExperts == 160:
		return 8, 3
	}
	return 1, 1
}

// ropeScaling reads the keys of YaRN.
func (m *ggufMetadata) ropeScaling(c *Config) {
	const name = "rope.scaling.type"
	if !m.has(name) {
		return
	}
	kind, err := gguf.Value[string](m.Metadata, m.key(name))
	if err != nil {
		m.fail(err)
	}
	switch kind {
	case "none":
		return
	case "yarn":
	default:
		m.fail(fmt.Errorf("gguf: key %q: %w %.40q: want none or yarn", m.key(name), gguf.ErrValue, kind))
		return
	}
	c.RoPEScaling = &RoPEScaling{
		Type: kind, Factor: m.float("rope.scaling.factor"),
		OriginalMaxPositionEmbeddings: m.int("rope.scaling.original_context_length"),
		BetaFast:                      m.floatOr("rope.scaling.yarn_beta_fast", 32),
		BetaSlow:                      m.floatOr("rope.scaling.yarn_beta_slow", 1),
	}
	if !c.IsMLA() {
		return
	}
	// yarn_log_multiplier is a tenth of mscale_all_dim, which equals mscale.
	tenth := m.float("rope.scaling.yarn_log_multiplier")
	mscale, _ := strconv.ParseFloat(strconv.FormatFloat(10*tenth, 'g', 6, 64), 64)
	c.RoPEScaling.MScale, c.RoPEScaling.MScaleAllDim = mscale, mscale
}

// ropeFactors is the tensor of factors that multiply RoPE's wavelengths.
const ropeFactors = "rope_freqs.weight"

// llama3Scaling infers Llama 3's scaling from the factors in a file. It assumes frequency
// factors of 1 and 4, as in all such models, and an original length that is a power of two.
func llama3Scaling(c *Config, r *gguf.Reader) error {
	t, ok := r.Find(ropeFactors)
	if !ok {
		return nil
	}
	factors := make([]float32, t.Shape[len(t.Shape)-1])
	if len(t.Shape) != 1 || 2*len(factors) != c.QKHeadDim() || c.RoPEScaling != nil {
		return fmt.Errorf("%s %v: want one factor for each pair of heads of %d, and no other scaling", ropeFactors, t.Shape,
			c.QKHeadDim())
	}
	if err := r.ReadRows(t, 0, factors); err != nil {
		return err
	}
	s := RoPEScaling{Type: "llama3", LowFreqFactor: 1, HighFreqFactor: 4}
	for _, f := range factors {
		s.Factor = max(s.Factor, float64(f))
	}
	for old := 16; old <= 1<<20; old *= 2 {
		s.OriginalMaxPositionEmbeddings = old
		same := s.Factor >= 1
		for i, want := range s.llama3Factors(c.RoPETheta, len(factors)) {
			same = same && math.Abs(float64(factors[i])-want) <= 1e-5*want
		}
		if same {
			c.RoPEScaling = &s
			return nil
		}
	}
	return fmt.Errorf("%s: the factors are not those of Llama 3's scaling", ropeFactors)
}

// llama3Factors returns the factors of the wavelengths of n pairs.
func (s *RoPEScaling) llama3Factors(theta float64, n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		turns := float64(s.OriginalMaxPositionEmbeddings) / (2 * math.Pi * math.Pow(theta, float64(i)/float64(n)))
		smooth := (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
		smooth = min(max(smooth, 0), 1)
		list[i] = 1 / ((1-smooth)/s.Factor + smooth)
	}
	return list
}
