package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPublishedDeepSeekV3FileIsThePreset(t *testing.T) {
	c, err := ReadConfig("testdata/deepseek_v3.json")
	if err != nil {
		t.Fatal(err)
	}
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

// keysOf decodes a Config's JSON without this package.
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
	for key := range droppedKeys {
		delete(want, key)
	}
	delete(want, "attention_dropout")
	got := keysOf(t, DeepSeekV3())
	delete(got, "architectures")
	delete(got, "rope_interleave") // transformers' class has it, the published file does not
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

// What transformers 5 writes for a small Qwen2: rope_parameters, dtype, layer_types.
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

// What transformers' own DeepseekV3 class writes: no gate method, no MTP, but
// the widths it derived.
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
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestNullGroupsMeanOneGroup(t *testing.T) {
	c, err := ParseConfig(edit(t, DeepSeekV2Lite(), map[string]any{"n_group": nil, "topk_group": nil,
		"scoring_func": remove}))
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
	want := &RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPositionEmbeddings: 32768, BetaFast: 32, BetaSlow: 1,
		MScale: 1}
	if diff := cmp.Diff(want, c.RoPEScaling); diff != "" {
		t.Error(diff)
	}
}

// remove, as a value of edit, deletes the key.
var remove = &struct{}{}

// edit returns a config.json with some keys changed.
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
		{"unknown key", map[string]any{"hiden_size": 1}, "hiden_size", ruleUnknown},
		{"unknown rope key", map[string]any{"rope_scaling": map[string]any{"type": "default", "speed": 1}},
			"rope_scaling.speed", ruleUnknown},
		{"unknown quantisation key", map[string]any{"quantization_config": map[string]any{"bits": 4}},
			"quantization_config.bits", ruleUnknown},
		{"string for a number", map[string]any{"hidden_size": "128"}, "hidden_size", "must be an integer"},
		{"fraction", map[string]any{"hidden_size": 128.5}, "hidden_size", "must be an integer"},
		{"null dimension", map[string]any{"hidden_size": nil}, "hidden_size", "must not be null"},
		{"list of strings as ids", map[string]any{"eos_token_id": []string{"a"}}, "eos_token_id", "a token id, a list"},
		{"dropout", map[string]any{"attention_dropout": .1}, "attention_dropout", "must be 0"},
		{"multimodal rope", map[string]any{"use_mrope": true}, "use_mrope", "must be false"},
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
		found := faults(t, parseErr(edit(t, Tiny(), c.changes)))
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

func TestUnknownKeysAloneLeaveTheConfigUsable(t *testing.T) {
	c, err := ParseConfig(edit(t, Tiny(), map[string]any{"zeta": 1, "alpha": 2}))
	e, ok := errors.AsType[*ConfigError](err)
	if !ok {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"alpha", "zeta"}, e.UnknownKeys()); diff != "" {
		t.Error(diff)
	}
	if len(e.Fields) != 2 {
		t.Errorf("got %v", e.Fields)
	}
	if diff := cmp.Diff(Tiny(), c); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedKeyIsRefused(t *testing.T) {
	b := edit(t, Tiny(), nil)
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

func FuzzParseConfig(f *testing.F) {
	for _, p := range presets {
		b, err := json.Marshal(p.config())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(qwen2ByTransformers5))
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"rope_type":"llama3","type":null},"dtype":null,"torch_dtype":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a message")
			}
			return
		}
		// What is accepted is consistent: it validates, counts and reads back.
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
	c := Tiny()
	c.NRoutedExperts, c.NGroup, c.TopKGroup = 12, 5, 6
	c.QKRopeHeadDim = 15
	fmt.Println(c.Validate())

	total, active := DeepSeekV3().NumParams()
	fmt.Printf("DeepSeek-V3: %.0fB parameters, %.1fB active\n", float64(total)/1e9, float64(active)/1e9)
	// Output:
	// model: config: qk_rope_head_dim = 15: must be even for RoPE; n_group = 5: must divide n_routed_experts = 12
	// DeepSeek-V3: 671B parameters, 37.6B active
}
