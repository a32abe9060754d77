package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
)

// ReadConfig reads a config.json. Its errors name the file; see [ParseConfig].
func ReadConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("model: config: %w", err)
	}
	c, err := ParseConfig(b)
	if faults, ok := errors.AsType[*ConfigError](err); ok {
		faults.Path = path
	} else if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return c, err
}

// ParseConfig decodes a Hugging Face config.json of one of the model types of
// this package and validates it. All faults come back at once in a
// [*ConfigError]: missing, mistyped, unknown and repeated keys, and what
// [Config.Validate] finds.
//
// Keys that transformers writes and that do not change the model are accepted
// and dropped. The Config is filled as far as possible even on error, so that a
// caller may look at [ConfigError.UnknownKeys] and go on when there is no other
// fault.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	raw, repeated, err := splitObject(b)
	if err != nil {
		return c, fmt.Errorf("model: config: not a JSON object: %w", err)
	}
	p := &parser{raw: raw}
	p.repeats("", repeated)
	p.alias("dtype", "torch_dtype")
	p.alias("rope_parameters", "rope_scaling")
	p.ropeScaling(&c)
	p.quantization(&c)
	p.given = maps.Clone(p.raw)
	p.fields("", reflect.ValueOf(&c).Elem(), p.raw)
	p.absent(&c)
	p.fixed(&c)
	for _, key := range slices.Sorted(maps.Keys(p.raw)) {
		if !droppedKeys[key] {
			p.fail(key, nil, ruleUnknown)
		}
	}
	if invalid, ok := errors.AsType[*ConfigError](c.Validate()); ok {
		found := p.faults
		for _, f := range invalid.Fields {
			// What could not be read is not also reported as out of range.
			if !slices.ContainsFunc(found, func(have FieldError) bool { return have.Key == f.Key }) {
				p.faults = append(p.faults, f)
			}
		}
	}
	if len(p.faults) == 0 {
		return c, nil
	}
	return c, &ConfigError{Fields: p.faults}
}

// UnmarshalJSON is [ParseConfig]; on error it leaves c as it was.
func (c *Config) UnmarshalJSON(b []byte) error {
	parsed, err := ParseConfig(b)
	if err == nil {
		*c = parsed
	}
	return err
}

// MarshalJSON writes a config.json, keys in order, with the fields of the model
// type only. A Config that validates reads back as it was.
func (c Config) MarshalJSON() ([]byte, error) {
	class, ok := architectures[c.ModelType]
	if !ok {
		return nil, fmt.Errorf("model: config: model_type %q is unknown", c.ModelType)
	}
	out := map[string]any{"architectures": []string{class}}
	for f, v := range reflect.ValueOf(c).Fields() {
		key := jsonKey(f)
		// transformers gives absent token ids and false booleans values of its
		// own, so those are always written.
		spoken := f.Type.Kind() == reflect.Bool || f.Type == reflect.TypeFor[TokenIDs]()
		switch {
		case !inFamily(f, c.ModelType), v.IsZero() && mayBeAbsent[key] && !spoken:
		case v.IsZero() && mayBeNull[key]:
			out[key] = nil
		default:
			out[key] = v.Interface()
		}
	}
	return json.Marshal(out)
}

// architectures names the transformers class of each model type.
var architectures = map[string]string{
	TypeDeepSeekV3: "DeepseekV3ForCausalLM",
	TypeDeepSeekV2: "DeepseekV2ForCausalLM",
	TypeQwen2:      "Qwen2ForCausalLM",
	TypeQwen3:      "Qwen3ForCausalLM",
	TypeLlama:      "LlamaForCausalLM",
}

// mayBeNull lists the keys whose null means none, kept as a zero here.
var mayBeNull = setOf(
	"q_lora_rank", "head_dim", "n_routed_experts", "n_shared_experts", "num_experts_per_tok",
	"n_group", "topk_group", "bos_token_id", "eos_token_id", "torch_dtype",
)

// mayBeAbsent lists the keys that a config.json may lack, because transformers
// leaves them out or the model type implies them. [Config] says what absence means.
var mayBeAbsent = setOf(
	"tie_word_embeddings", "rope_scaling", "rope_interleave", "head_dim", "attention_bias", "mlp_bias",
	"use_sliding_window", "moe_layer_freq", "scoring_func", "topk_method", "num_nextn_predict_layers",
	"bos_token_id", "eos_token_id", "torch_dtype", "quantization_config",
)

// droppedKeys do not change what the model computes: provenance, sharding and
// training hints, generation defaults, Python switches. sliding_window and
// max_window_layers act only with use_sliding_window, which must be false.
var droppedKeys = setOf(
	"architectures", "auto_map", "transformers_version", "_name_or_path", "_attn_implementation_autoset",
	"use_cache", "ep_size", "pretraining_tp", "aux_loss_alpha", "seq_aux", "pad_token_id", "sliding_window",
	"max_window_layers", "is_decoder", "is_encoder_decoder", "output_attentions", "output_hidden_states",
	"return_dict", "torchscript", "chunk_size_feed_forward", "id2label", "label2id", "problem_type",
	"tokenizer_class", "task_specific_params", "max_length", "temperature", "top_p", "do_sample",
)

func setOf(keys ...string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}

// parser turns the keys of one file into a Config.
type parser struct {
	checker
	raw   map[string]json.RawMessage // the keys not yet read
	given map[string]json.RawMessage // all keys, under the names Config uses
}

// splitObject returns the values of a JSON object by key and the keys that it
// repeats.
func splitObject(b []byte) (values map[string]json.RawMessage, repeated []string, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil {
		return nil, nil, err
	} else if t != json.Delim('{') {
		return nil, nil, fmt.Errorf("it starts with %v", t)
	}
	values = map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		key := t.(string) // the decoder admits nothing else here
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", key, err)
		}
		if _, ok := values[key]; ok {
			repeated = append(repeated, key)
		}
		values[key] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if d.More() {
		return nil, nil, errors.New("more follows the object")
	}
	return values, repeated, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func (p *parser) repeats(prefix string, keys []string) {
	for _, key := range keys {
		p.fail(prefix+key, nil, "appears more than once")
	}
}

// alias gives a key that newer versions of transformers write its older name.
func (p *parser) alias(from, to string) {
	v, ok := p.raw[from]
	if !ok {
		return
	}
	delete(p.raw, from)
	if old, both := p.raw[to]; both && !isNull(old) && !bytes.Equal(old, v) {
		p.fail(from, v, "contradicts %s = %s", to, old)
		return
	}
	p.raw[to] = v
}

// nested splits the object at a key of raw. A missing or null one is nil.
func (p *parser) nested(key string) map[string]json.RawMessage {
	v, ok := p.raw[key]
	delete(p.raw, key)
	if !ok || isNull(v) {
		return nil
	}
	object, repeated, err := splitObject(v)
	if err != nil {
		p.fail(key, v, "must be an object or null")
		return nil
	}
	p.repeats(key+".", repeated)
	return object
}

// ropeScaling reads rope_scaling, whose newer form also holds rope_theta and
// calls plain RoPE "default".
func (p *parser) ropeScaling(c *Config) {
	const key, prefix = "rope_scaling", "rope_scaling."
	object := p.nested(key)
	if object == nil {
		return
	}
	inner := &parser{raw: object}
	inner.alias("rope_type", "type")
	for _, f := range inner.faults {
		p.fail(prefix+f.Key, f.Value, "%s", f.Rule)
	}
	if theta, ok := object["rope_theta"]; ok {
		delete(object, "rope_theta")
		if outer, both := p.raw["rope_theta"]; both && !bytes.Equal(outer, theta) {
			p.fail(prefix+"rope_theta", theta, "contradicts rope_theta = %s", outer)
		}
		p.raw["rope_theta"] = theta
	}
	if string(object["type"]) == `"default"` {
		delete(object, "type")
	} else {
		c.RoPEScaling = &RoPEScaling{}
		if string(object["type"]) == `"yarn"` {
			c.RoPEScaling.BetaFast, c.RoPEScaling.BetaSlow, c.RoPEScaling.MScale = 32, 1, 1
		}
		p.fields(prefix, reflect.ValueOf(c.RoPEScaling).Elem(), object)
	}
	p.unknown(prefix, object)
}

func (p *parser) quantization(c *Config) {
	const key, prefix = "quantization_config", "quantization_config."
	object := p.nested(key)
	if object == nil {
		return
	}
	c.Quantization = &Quantization{}
	p.fields(prefix, reflect.ValueOf(c.Quantization).Elem(), object)
	p.unknown(prefix, object)
}

func (p *parser) unknown(prefix string, raw map[string]json.RawMessage) {
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		p.fail(prefix+key, nil, ruleUnknown)
	}
}

// fields moves the keys that the struct dst has from raw to it.
func (p *parser) fields(prefix string, dst reflect.Value, raw map[string]json.RawMessage) {
	for f, v := range dst.Fields() {
		key := jsonKey(f)
		b, ok := raw[key]
		if !ok {
			continue
		}
		delete(raw, key)
		if isNull(b) {
			if !mayBeNull[key] {
				p.fail(prefix+key, nil, "must not be null")
			}
		} else if err := json.Unmarshal(b, v.Addr().Interface()); err != nil {
			p.fail(prefix+key, b, "must be %s", wanted(f.Type))
			v.SetZero()
		}
	}
}

func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[TokenIDs]() {
		return "a token id, a list of them or null"
	}
	switch t.Kind() {
	case reflect.Int:
		return "an integer"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list of integers"
	}
	return "a string"
}

// absent reports the required keys that the file lacks and gives the others
// their documented meaning.
func (p *parser) absent(c *Config) {
	lacks := func(key string) bool { _, ok := p.given[key]; return !ok }
	for f := range reflect.TypeFor[Config]().Fields() {
		if key := jsonKey(f); lacks(key) && !mayBeAbsent[key] && inFamily(f, c.ModelType) {
			p.fail(key, nil, ruleMissing)
		}
	}
	if !c.IsMLA() {
		return
	}
	if lacks("rope_interleave") {
		c.RoPEInterleave = true
	}
	if c.NRoutedExperts == 0 {
		return
	}
	if lacks("moe_layer_freq") {
		c.MoELayerFreq = 1
	}
	if isNull(p.given["n_group"]) {
		c.NGroup = 1
	}
	if isNull(p.given["topk_group"]) {
		c.TopKGroup = 1
	}
	v3 := c.ModelType == TypeDeepSeekV3
	switch {
	case !lacks("scoring_func"):
	case v3:
		c.ScoringFunc = "sigmoid"
	default:
		c.ScoringFunc = "softmax"
	}
	switch {
	case !lacks("topk_method"):
	case v3:
		c.TopKMethod = "noaux_tc"
	default:
		p.fail("topk_method", nil, ruleMissing)
	}
}

// fixed checks the keys that must have one value to mean what Config means.
func (p *parser) fixed(c *Config) {
	must := func(key, rule string, held func(v json.RawMessage) bool) {
		if v, ok := p.raw[key]; ok && !isNull(v) && !held(v) {
			p.fail(key, v, "%s", rule)
		}
		delete(p.raw, key)
	}
	must("attention_dropout", "must be 0", func(v json.RawMessage) bool {
		var rate float64
		return json.Unmarshal(v, &rate) == nil && rate == 0
	})
	must("use_mrope", "must be false", func(v json.RawMessage) bool { return string(v) == "false" })
	must("layer_types", "must be full_attention in every layer", func(v json.RawMessage) bool {
		var types []string
		return json.Unmarshal(v, &types) == nil &&
			!slices.ContainsFunc(types, func(t string) bool { return t != "full_attention" })
	})
	if !c.IsMLA() {
		return
	}
	must("qk_head_dim", "must be qk_nope_head_dim + qk_rope_head_dim", func(v json.RawMessage) bool {
		var n int
		return json.Unmarshal(v, &n) == nil && n == c.QKHeadDim()
	})
	// transformers' own class stores the width of its rotary table here.
	if c.HeadDim == c.QKRopeHeadDim {
		c.HeadDim = 0
	}
}
