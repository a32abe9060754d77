package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// parser converts the keys of one file to a Config.
type parser struct {
	checker
	raw       map[string]json.RawMessage // keys that have not been read yet
	given     map[string]json.RawMessage // all keys, by the names that Config uses
	modelType string                     // "" if the file does not say
}

// splitObject returns the values of a JSON object by key, and the keys that occur more than
// once.
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
		key := t.(string) // the decoder returns no other type here
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

// sameJSON reports whether two JSON values are equal; 10000 equals 1e4.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return bytes.Equal(a, b) ||
		json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func (p *parser) repeats(prefix string, keys []string) {
	for _, key := range keys {
		p.fail(prefix+key, nil, "appears more than once")
	}
}

// aliases renames keys to the names that Config uses.
func (p *parser) aliases() {
	_ = json.Unmarshal(p.raw["model_type"], &p.modelType) // fields reports a bad model_type
	for _, a := range aliasesOf(p.modelType) {
		p.alias(a[0], a[1])
	}
}

func (p *parser) alias(from, to string) {
	v, ok := p.raw[from]
	if !ok {
		return
	}
	delete(p.raw, from)
	if old, both := p.raw[to]; both && !isNull(old) && !sameJSON(old, v) {
		p.fail(from, v, "contradicts %s = %s", to, old)
		return
	}
	p.raw[to] = v
}

// nested removes the object at a key of raw and returns its values by key, nil if it is
// missing or null.
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

// ropeScaling reads rope_scaling. Its newer form also holds rope_theta and has type
// "default" for plain RoPE.
func (p *parser) ropeScaling(c *Config) {
	const prefix = ropeKey + "."
	object := p.nested(ropeKey)
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
		if outer, both := p.raw["rope_theta"]; both && !sameJSON(outer, theta) {
			p.fail(prefix+"rope_theta", theta, "contradicts rope_theta = %s", outer)
		}
		p.raw["rope_theta"] = theta
	}
	p.must(prefix, "partial_rotary_factor", object, c, fixedKeys["partial_rotary_factor"])
	if len(object) == 0 || string(object["type"]) == `"default"` {
		delete(object, "type")
		p.extra(c, ropeKey, object)
		return
	}
	s := &RoPEScaling{}
	c.RoPEScaling = s
	_ = json.Unmarshal(object["type"], &s.Type) // fields reports a bad type
	if _, ok := object["type"]; !ok {
		p.fail(prefix+"type", nil, ruleMissing)
	}
	if v, ok := object["attention_factor"]; ok && s.Type == "yarn" && !isNull(v) {
		if f, err := number(v); err == nil && f == 0 {
			p.fail(prefix+"attention_factor", v, "must be positive")
		}
	}
	p.fields(prefix, reflect.ValueOf(s).Elem(), object)
	if s.Type == "yarn" {
		s.BetaFast, s.BetaSlow = orElse(s.BetaFast, 32), orElse(s.BetaSlow, 1)
	}
	p.oldLength(s)
	p.extra(c, ropeKey, object)
}

// oldLength reads original_max_position_embeddings, which some files have outside of
// rope_scaling.
func (p *parser) oldLength(s *RoPEScaling) {
	const key = "original_max_position_embeddings"
	if v, ok := p.raw[key]; ok {
		delete(p.raw, key)
		var n int
		if err := json.Unmarshal(v, &n); err != nil {
			p.fail(key, v, "must be an integer")
		} else if s.OriginalMaxPositionEmbeddings != 0 && s.OriginalMaxPositionEmbeddings != n {
			p.fail(key, v, "contradicts %s.%s = %d", ropeKey, key, s.OriginalMaxPositionEmbeddings)
		} else {
			s.OriginalMaxPositionEmbeddings = n
		}
		return
	}
	if s.OriginalMaxPositionEmbeddings == 0 {
		// fields reports a bad max_position_embeddings.
		_ = json.Unmarshal(p.raw["max_position_embeddings"], &s.OriginalMaxPositionEmbeddings)
	}
}

func orElse(v, zero float64) float64 {
	if v == 0 {
		return zero
	}
	return v
}

func number(raw json.RawMessage) (v float64, err error) {
	err = json.Unmarshal(raw, &v)
	return v, err
}

func (p *parser) quantization(c *Config) {
	const prefix = quantizationKey + "."
	object := p.nested(quantizationKey)
	if object == nil {
		return
	}
	q := &Quantization{Fmt: "e4m3", ActivationScheme: "dynamic"}
	c.Quantization = q
	if _, ok := object["weight_block_size"]; !ok {
		q.WeightBlockSize = []int{128, 128}
	}
	p.fields(prefix, reflect.ValueOf(q).Elem(), object)
	if q.ScaleFmt == "float" {
		q.ScaleFmt = ""
	}
	p.must(prefix, "expert_dtype", object, c, fixedKey{"must be fp8", isText(`"fp8"`)})
	p.extra(c, quantizationKey, object)
}

// fields decodes the keys of raw for which the struct dst has fields and removes them from
// raw. It leaves keys of another rope type in raw.
func (p *parser) fields(prefix string, dst reflect.Value, raw map[string]json.RawMessage) {
	ropeType := ""
	if s, ok := dst.Interface().(RoPEScaling); ok {
		ropeType = s.Type
	}
	for f, v := range configFields(dst) {
		key := jsonKey(f, p.modelType)
		b, ok := raw[key]
		if !ok || !hasRoPEType(f, ropeType) {
			continue
		}
		delete(raw, key)
		if isNull(b) {
			if !mayBeNull[prefix+key] {
				p.fail(prefix+key, nil, "must not be null")
			}
		} else if err := json.Unmarshal(b, v.Addr().Interface()); err != nil {
			p.fail(prefix+key, b, "must be %s", wanted(f.Type))
			v.SetZero()
		}
		if v.Kind() == reflect.Slice && v.Len() == 0 {
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
	case reflect.Bool, reflect.Pointer:
		return "true or false"
	case reflect.Slice:
		return "a list of integers"
	}
	return "a string"
}

// absent reports required keys that the file lacks, and sets the documented defaults of the
// others.
func (p *parser) absent(c *Config) {
	lacks := func(key string) bool { _, ok := p.given[key]; return !ok }
	if isNull(p.given["num_key_value_heads"]) ||
		lacks("num_key_value_heads") && (p.modelType == TypeLlama || p.modelType == TypeDeepSeekV2) {
		c.NumKeyValueHeads = c.NumAttentionHeads
		p.given["num_key_value_heads"] = p.given["num_attention_heads"]
	}
	for f := range configFields(reflect.ValueOf(*c)) {
		if key := jsonKey(f, p.modelType); lacks(key) && !mayBeAbsent[key] && inFamily(f, c.ModelType) {
			p.fail(key, nil, ruleMissing)
		}
	}
	if lacks("rope_theta") {
		c.RoPETheta = 10000
	}
	switch {
	case c.ModelType == TypeQwen3MoE && lacks("decoder_sparse_step"):
		c.DecoderSparseStep = 1
	case c.IsMLA():
		p.absentMLA(c, lacks)
	}
}

func (p *parser) absentMLA(c *Config, lacks func(key string) bool) {
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
	scoring, method := "softmax", "greedy"
	if c.ModelType == TypeDeepSeekV3 {
		scoring, method = "sigmoid", "noaux_tc"
	}
	if lacks("scoring_func") {
		c.ScoringFunc = scoring
	}
	if lacks("topk_method") {
		c.TopKMethod = method
	}
}

// slidingWindow reads use_sliding_window as false if no layer has a window, and reports
// sliding_window in model types that do not support one.
func (p *parser) slidingWindow(c *Config) {
	window, ok := p.raw["sliding_window"]
	none := ok && isNull(window)
	switch c.ModelType {
	case TypeQwen2, TypeQwen3, TypeQwen3MoE:
		if c.SlidingWindow && (none || c.ModelType != TypeQwen3MoE && p.windowless(c)) {
			c.SlidingWindow = false
		}
	default:
		if ok && !none {
			p.fail("sliding_window", window, "must be null: sliding-window attention is not supported")
		}
	}
}

// windowless reports whether no layer has a window, by layer_types, which fixed checks, or
// by max_window_layers.
func (p *parser) windowless(c *Config) bool {
	if types := p.raw["layer_types"]; types != nil && !isNull(types) {
		return true
	}
	first := 28 // transformers' default
	if v, ok := p.raw["max_window_layers"]; ok {
		if err := json.Unmarshal(v, &first); err != nil {
			p.fail("max_window_layers", v, "must be an integer")
		}
	}
	return first >= c.NumHiddenLayers
}

// fixedKey is a key without a field of Config, of which only one value is supported.
type fixedKey struct {
	rule string
	held func(v json.RawMessage, c *Config) bool
}

// fixedKeys are keys that change what the classes of transformers compute if they have
// another value than the supported one. They are not kept in Extra.
var fixedKeys = map[string]fixedKey{
	"attention_dropout":     {"must be 0", isNumber(0)},
	"partial_rotary_factor": {"must be 1: RoPE rotates whole heads", isNumber(1)},
	"is_causal":             {"must be true", isText("true")},
	"use_mrope":             {"must be false", isText("false")},
	"attention_chunk_size":  {"must be null: chunked attention is not supported", isText("null")},
	"per_layer_config":      {"must be null or empty: layers that differ are not supported", isText("{}")},
	"pruned_heads":          {"must be empty", isText("{}")},
	"layer_types": {"must be full_attention in every layer", func(v json.RawMessage, _ *Config) bool {
		var types []string
		return json.Unmarshal(v, &types) == nil && !slices.ContainsFunc(types, func(t string) bool {
			return t != "full_attention" && t != "attention" // "attention" is an older name
		})
	}},
	"qk_head_dim": {"must be qk_nope_head_dim + qk_rope_head_dim", func(v json.RawMessage, c *Config) bool {
		var n int
		return !c.IsMLA() || json.Unmarshal(v, &n) == nil && n == c.QKHeadDim()
	}},
}

func isNumber(want float64) func(json.RawMessage, *Config) bool {
	return func(v json.RawMessage, _ *Config) bool { f, err := number(v); return err == nil && f == want }
}

func isText(want string) func(json.RawMessage, *Config) bool {
	return func(v json.RawMessage, _ *Config) bool { return string(canonical(v)) == want }
}

// must checks a fixed key and removes it from raw. Null is treated as absent.
func (p *parser) must(prefix, key string, raw map[string]json.RawMessage, c *Config, fixed fixedKey) {
	v, ok := raw[key]
	if ok && !isNull(v) && !fixed.held(v, c) {
		p.fail(prefix+key, v, "%s", fixed.rule)
	}
	delete(raw, key)
}

// fixed checks all fixed keys.
func (p *parser) fixed(c *Config) {
	for _, key := range slices.Sorted(maps.Keys(fixedKeys)) {
		p.must("", key, p.raw, c, fixedKeys[key])
	}
	// With MLA, transformers' classes replace head_dim by the rotated width.
	if c.IsMLA() {
		c.HeadDim = 0
	}
}
