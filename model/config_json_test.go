package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
)

func TestPublishedDeepSeekV3FileIsThePreset(t *testing.T) {
	c, err := ReadConfig("testdata/deepseek_v3.json")
	if err != nil {
		t.Fatal(err)
	}
	c.Extra = nil // such as aux_loss_alpha
	if diff := cmp.Diff(DeepSeekV3(), c); diff != "" {
		t.Error(diff)
	}
}

func TestPresetsSurviveJSON(t *testing.T) {
	for _, p := range presets {
		b, err := json.Marshal(p.config())
		if err != nil {
			t.Fatal(err)
		}
		var back Config
		if err := json.Unmarshal(b, &back); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if diff := cmp.Diff(p.config(), back); diff != "" {
			t.Errorf("%s: %s", p.name, diff)
		}
	}
}

// keysOf decodes a Config's JSON with encoding/json only.
func keysOf(t *testing.T, c Config) map[string]any {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWrittenFileHasTheKeysTransformersNeeds(t *testing.T) {
	want := keysOfFile(t, "testdata/deepseek_v3.json")
	for key := range want {
		if droppedKeys[key] || harmlessKeys[key] {
			delete(want, key)
		}
	}
	delete(want, "attention_dropout")
	got := keysOf(t, DeepSeekV3())
	delete(got, "architectures")
	delete(got, "rope_interleave") // transformers' class has it, but the published file does not
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := keysOf(t, Moonlight16BA3B()); got["q_lora_rank"] != nil {
		t.Errorf("no query compression must be written as null, got %v", got["q_lora_rank"])
	}
	qwen := keysOf(t, R1DistillQwen7B())
	if _, ok := qwen["kv_lora_rank"]; ok {
		t.Error("a Qwen2 file must not have kv_lora_rank")
	}
	if diff := cmp.Diff([]any{"Qwen2ForCausalLM"}, qwen["architectures"]); diff != "" {
		t.Error(diff)
	}
}

func keysOfFile(t *testing.T, path string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// qwen2ByTransformers5 is what transformers 5 writes for a small Qwen2: it has
// rope_parameters, dtype and layer_types.
const qwen2ByTransformers5 = `{
  "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "dtype": "bfloat16",
  "eos_token_id": [151643, 151645], "hidden_act": "silu", "hidden_size": 1536, "initializer_range": 0.02,
  "intermediate_size": 8960, "layer_types": ["full_attention", "full_attention"], "max_position_embeddings": 131072,
  "max_window_layers": 28, "model_type": "qwen2", "num_attention_heads": 12, "num_hidden_layers": 2,
  "num_key_value_heads": 2, "pad_token_id": null, "rms_norm_eps": 1e-06,
  "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "sliding_window": null,
  "tie_word_embeddings": true, "transformers_version": "5.7.0", "use_cache": true, "use_mrope": false,
  "use_sliding_window": false, "vocab_size": 151936}`

func TestNewerKeyNamesAreRead(t *testing.T) {
	c, err := ParseConfig([]byte(qwen2ByTransformers5))
	if err != nil {
		t.Fatal(err)
	}
	if c.RoPETheta != 1e6 || c.RoPEScaling != nil || c.DType != "bfloat16" || !c.TieWordEmbeddings ||
		!slices.Equal(c.EOSTokenID, TokenIDs{151643, 151645}) {
		t.Errorf("got %+v", c)
	}
}

// transformers' DeepseekV3 class writes no keys for the gate's method and for MTP, but the
// widths that it derived.
func TestTransformersOwnDeepSeekV3FileIsRead(t *testing.T) {
	b := edit(t, DeepSeekV3(), map[string]any{
		"scoring_func": remove, "topk_method": remove, "moe_layer_freq": remove, "num_nextn_predict_layers": remove,
		"rope_interleave": true, "head_dim": 64, "qk_head_dim": 192, "pretraining_tp": 1, "rope_scaling": remove,
		"rope_theta": remove, "rope_parameters": map[string]any{
			"rope_theta": 1e4, "rope_type": "yarn", "type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
			"beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
		},
	})
	c, err := ParseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	want := DeepSeekV3()
	want.NumNextNPredictLayers = 0
	want.Extra = extra("pretraining_tp", "1")
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestNullGroupsMeanOneGroup(t *testing.T) {
	c, err := ParseConfig(edit(t, DeepSeekV2Lite(), map[string]any{"n_group": nil, "topk_group": nil,
		"scoring_func": remove, "topk_method": remove}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DeepSeekV2Lite(), c); diff != "" {
		t.Error(diff)
	}
}

func TestYaRNKeysThatQwenLeavesOut(t *testing.T) {
	c, err := ParseConfig(edit(t, R1DistillQwen7B(), map[string]any{
		"rope_scaling": map[string]any{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := &RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPositionEmbeddings: 32768, BetaFast: 32, BetaSlow: 1}
	if diff := cmp.Diff(want, c.RoPEScaling); diff != "" {
		t.Error(diff)
	}
}

// remove, as a value in the changes of edit, deletes the key.
var remove = &struct{}{}

// edit returns the config.json of c with some keys changed.
func edit(t *testing.T, c Config, changes map[string]any) []byte {
	t.Helper()
	m := keysOf(t, c)
	for key, v := range changes {
		if v == remove {
			delete(m, key)
		} else {
			m[key] = v
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFaultyFilesAreRefusedByKey(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes map[string]any
		key     string
		rule    string
	}{
		{"string for a number", map[string]any{"hidden_size": "128"}, "hidden_size", "must be an integer"},
		{"fraction", map[string]any{"hidden_size": 128.5}, "hidden_size", "must be an integer"},
		{"null dimension", map[string]any{"hidden_size": nil}, "hidden_size", "must not be null"},
		{"list of strings as ids", map[string]any{"eos_token_id": []string{"a"}}, "eos_token_id", "a token id, a list"},
		{"dropout", map[string]any{"attention_dropout": .1}, "attention_dropout", "must be 0"},
		{"multimodal rope", map[string]any{"use_mrope": true}, "use_mrope", "must be false"},
		{"bidirectional", map[string]any{"is_causal": false}, "is_causal", "must be true"},
		{"chunks", map[string]any{"attention_chunk_size": 8}, "attention_chunk_size", "must be null"},
		{"layers that differ", map[string]any{"per_layer_config": map[string]any{"1": map[string]any{"head_dim": 2}}},
			"per_layer_config", "layers that differ"},
		{"window of a type without", map[string]any{"sliding_window": 16}, "sliding_window", "must be null"},
		{"part of a head", map[string]any{"partial_rotary_factor": .5}, "partial_rotary_factor", "must be 1"},
		{"part of a head in rope", map[string]any{"rope_scaling": map[string]any{"type": "default",
			"partial_rotary_factor": .5}}, "rope_scaling.partial_rotary_factor", "must be 1"},
		{"linear rope", map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 2}}, "rope_scaling.type",
			"must be one of yarn, llama3"},
		{"dynamic rope", map[string]any{"rope_scaling": map[string]any{"rope_type": "dynamic", "factor": 2}},
			"rope_scaling.type", "must be one of yarn, llama3"},
		{"longrope", map[string]any{"rope_scaling": map[string]any{"rope_type": "longrope", "short_factor": []int{1}}},
			"rope_scaling.type", "must be one of yarn, llama3"},
		{"rope of no type", map[string]any{"rope_scaling": map[string]any{"factor": 2}}, "rope_scaling.type", "missing"},
		{"rope by layer type", map[string]any{"rope_parameters": map[string]any{"full_attention": map[string]any{}}},
			"rope_scaling.type", "missing"},
		{"no amplitude", map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "attention_factor": 0}},
			"rope_scaling.attention_factor", "must be positive"},
		{"truncate of null", map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "truncate": nil}},
			"rope_scaling.truncate", "must not be null"},
		{"two old lengths", map[string]any{"original_max_position_embeddings": 8, "rope_scaling": map[string]any{
			"type": "yarn", "factor": 2, "original_max_position_embeddings": 16}}, "original_max_position_embeddings",
			"contradicts"},
		{"another quantisation", map[string]any{"quantization_config": map[string]any{"quant_method": "gptq", "bits": 4}},
			"quantization_config.quant_method", "fp8"},
		{"FP4 experts", map[string]any{"quantization_config": map[string]any{"quant_method": "fp8", "expert_dtype": "fp4"}},
			"quantization_config.expert_dtype", "must be fp8"},
		{"one scale for all", map[string]any{"quantization_config": map[string]any{"quant_method": "fp8",
			"weight_block_size": nil}}, "quantization_config.weight_block_size", "must not be null"},
		{"attention biases", map[string]any{"attention_bias": true}, "attention_bias", "must be false"},
		{"activation", map[string]any{"hidden_act": "gelu"}, "hidden_act", "must be one of silu"},
		{"two expert counts", map[string]any{"num_local_experts": 7}, "num_local_experts", "contradicts"},
		{"sliding layer", map[string]any{"layer_types": []string{"full_attention", "sliding_attention"}}, "layer_types",
			"full_attention"},
		{"derived width", map[string]any{"qk_head_dim": 47}, "qk_head_dim", "must be qk_nope_head_dim"},
		{"two dtypes", map[string]any{"dtype": "bfloat16"}, "dtype", "contradicts"},
		{"two thetas", map[string]any{"rope_scaling": map[string]any{"type": "default", "rope_theta": 5}},
			"rope_scaling.rope_theta", "contradicts"},
		{"two rope types", map[string]any{"rope_scaling": map[string]any{"type": "default", "rope_type": "yarn"}},
			"rope_scaling.rope_type", "contradicts"},
		{"rope as text", map[string]any{"rope_scaling": "yarn"}, "rope_scaling", "must be an object"},
		{"key of another type", map[string]any{"use_sliding_window": true}, "use_sliding_window", "absent"},
	} {
		found := faults(t, parseErr(edit(t, Tiny(32), c.changes)))
		i := slices.IndexFunc(found, func(f FieldError) bool { return f.Key == c.key })
		if i < 0 || !strings.Contains(found[i].Rule, c.rule) {
			t.Errorf("%s: want %s: …%s…, got %v", c.name, c.key, c.rule, found)
		}
	}
}

func parseErr(b []byte) error {
	_, err := ParseConfig(b)
	return err
}

func TestEveryMissingDimensionIsNamedAtOnce(t *testing.T) {
	for _, p := range presets {
		found := faults(t, parseErr(fmt.Appendf(nil, `{"model_type": %q}`, p.config().ModelType)))
		for key := range keysOf(t, p.config()) {
			if mayBeAbsent[key] || key == "architectures" || key == "model_type" {
				continue
			}
			if !names(found, key) {
				t.Errorf("%s: missing %s is not reported", p.name, key)
			}
		}
	}
}

func TestUnknownKeysAreKeptAndListed(t *testing.T) {
	b := edit(t, DeepSeekV3(), map[string]any{"zeta": []any{1, "<a>"}, "alpha": nil, "pad_token_id": 3})
	b = []byte(strings.Replace(string(b), `"type":"yarn"`, `"type":"yarn","speed":1,"low_freq_factor":2`, 1))
	b = []byte(strings.Replace(string(b), `"fmt":"e4m3"`, `"fmt":"e4m3","bits":8,"modules_to_not_convert":null`, 1))
	c, err := ParseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"alpha", "quantization_config.bits", "rope_scaling.low_freq_factor", "rope_scaling.speed", "zeta"}
	if diff := cmp.Diff(want, c.Unknown()); diff != "" {
		t.Error(diff)
	}
	again, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var file, back any
	if err := errors.Join(json.Unmarshal(b, &file), json.Unmarshal(again, &back)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(file, back); diff != "" {
		t.Errorf("the file that is written again differs: %s", diff)
	}
	stored := c.StoredAs(backend.F32)
	if err := stored.Validate(); err != nil || len(c.Extra) != 5 || len(stored.Extra) != 4 {
		t.Errorf("StoredAs: error %v, keys %v of %v", err, slices.Sorted(maps.Keys(stored.Extra)),
			slices.Sorted(maps.Keys(c.Extra)))
	}
	c.Extra = nil
	if diff := cmp.Diff(DeepSeekV3(), c); diff != "" {
		t.Error(diff)
	}
}

// transformers rejects an int if its class expects a float, and warns about it in
// rope_scaling.
func TestNumbersAreTypedAsInPython(t *testing.T) {
	c := DeepSeekV2()
	c.RMSNormEps, c.RoPETheta = 1.5e-6, 1e16
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"routed_scaling_factor":16.0,`, `"rms_norm_eps":1.5e-06,`, `"rope_theta":1e+16,`, `"initializer_range":0.02,`,
		`"factor":40.0,`, `"beta_fast":32.0,`, `"original_max_position_embeddings":4096,`, `"hidden_size":5120,`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	if b, err := json.Marshal(pythonFloat(0)); err != nil || string(b) != "0.0" {
		t.Errorf("0 is written as %s, %v", b, err)
	}
}

func TestWindowsThatNoLayerHasAreNoFault(t *testing.T) {
	for _, c := range []struct {
		base    Config
		changes map[string]any
		window  bool
	}{
		{R1DistillQwen7B(), map[string]any{"use_sliding_window": true}, false}, // 28 layers and max_window_layers 28
		{R1DistillQwen7B(), map[string]any{"use_sliding_window": true, "max_window_layers": 27}, true},
		{R1DistillQwen7B(), map[string]any{"use_sliding_window": true, "max_window_layers": 0, "sliding_window": nil}, false},
		{R1DistillQwen32B(), map[string]any{"use_sliding_window": true, "sliding_window": 4096}, true},
		{R1DistillQwen32B(), map[string]any{"use_sliding_window": true, "layer_types": []string{"full_attention"}}, false},
		{R1DistillQwen32B(), map[string]any{"use_sliding_window": false, "sliding_window": 4096}, false},
		{Qwen3_30B_A3B(), map[string]any{"use_sliding_window": true, "max_window_layers": 48}, true},
		{Qwen3_30B_A3B(), map[string]any{"use_sliding_window": true, "sliding_window": nil}, false},
	} {
		err := parseErr(edit(t, c.base, c.changes))
		if c.window {
			if found := faults(t, err); len(found) != 1 || found[0].Key != "use_sliding_window" {
				t.Errorf("%v: %v", c.changes, err)
			}
		} else if err != nil {
			t.Errorf("%v: %v", c.changes, err)
		}
	}
}

func TestAbsentKeysThatTransformersDerives(t *testing.T) {
	c, err := ParseConfig(edit(t, R1DistillLlama8B(), map[string]any{"num_key_value_heads": remove, "rope_theta": remove}))
	if err != nil || c.NumKeyValueHeads != 32 || c.RoPETheta != 1e4 {
		t.Errorf("%v, %d heads, theta %v", err, c.NumKeyValueHeads, c.RoPETheta)
	}
	c, err = ParseConfig(edit(t, R1DistillQwen7B(), map[string]any{
		"rope_scaling": map[string]any{"type": "yarn", "factor": 4}}))
	if err != nil || c.RoPEScaling.OriginalMaxPositionEmbeddings != 131072 {
		t.Errorf("%v, %+v", err, c.RoPEScaling)
	}
	c, err = ParseConfig(edit(t, DeepSeekV3(), map[string]any{"quantization_config": map[string]any{
		"quant_method": "fp8", "scale_fmt": "float", "dequantize": false, "modules_to_not_convert": nil}}))
	if diff := cmp.Diff(DeepSeekV3().Quantization, c.Quantization); err != nil || diff != "" || c.Unknown() != nil {
		t.Errorf("%v, unknown %v: %s", err, c.Unknown(), diff)
	}
}

func TestRepeatedKeyIsRefused(t *testing.T) {
	b := edit(t, Tiny(32), nil)
	b = append([]byte(`{"hidden_size": 64,`), b[1:]...)
	if found := faults(t, parseErr(b)); !names(found, "hidden_size") || !strings.Contains(found[0].Rule,
		"more than once") {
		t.Errorf("got %v", found)
	}
}

func TestBrokenJSONIsRefused(t *testing.T) {
	for _, b := range []string{``, `null`, `[]`, `{`, `{"a"`, `{"a":}`, `{"a":1,}`, `{} {}`, `{}x`,
		`{"rope_scaling":{"a":1}`} {
		if err := parseErr([]byte(b)); err == nil {
			t.Errorf("%q was accepted", b)
		}
	}
}

func TestReadConfigNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if _, err := ReadConfig(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	for _, content := range []string{`{"model_type": "llama"}`, `nonsense`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, p := range presets {
		b, err := json.Marshal(p.config())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(qwen2ByTransformers5))
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"rope_type":"llama3","type":null},"dtype":null,"torch_dtype":3}`))
	for _, path := range configFixtures(f) {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"model_type":"deepseek_v3","zeta":{"a":[1,"<\u2028\xff"]},"rope_scaling":{"type":"default","b":0}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := ParseConfig(b)
		runtime.ReadMemStats(&after)
		if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+256*len(b)); n > limit {
			t.Fatalf("%d bytes allocated for a file of %d, want at most %d", n, len(b), limit)
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a message")
			}
			return
		}
		// An accepted config is consistent: it validates, has a number of parameters, and
		// reads back as written.
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if total, active := c.NumParams(); active <= 0 || active > total {
			t.Fatalf("%d total, %d active parameters", total, active)
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseConfig(again)
		if err != nil {
			t.Fatalf("%s\n%v", again, err)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func ExampleConfig() {
	c := Tiny(32)
	c.NRoutedExperts, c.NGroup, c.TopKGroup = 12, 5, 6
	c.QKRopeHeadDim = 15
	fmt.Println(c.Validate())

	total, active := DeepSeekV3().NumParams()
	fmt.Printf("DeepSeek-V3: %.0fB parameters, %.1fB active\n", float64(total)/1e9, float64(active)/1e9)
	// Output:
	// model: config: qk_rope_head_dim = 15: must be even for RoPE; n_group = 5: must divide n_routed_experts = 12
	// DeepSeek-V3: 671B parameters, 37.6B active
}
