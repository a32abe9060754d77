package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Unknown returns, sorted, the keys of Extra that this package does not know. A key of a
// nested object has the form object.key. The model is computed as if these keys were
// absent, so programs should report them to the user.
func (c Config) Unknown() []string {
	var keys []string
	note := func(key string) {
		if !harmlessKeys[key] {
			keys = append(keys, key)
		}
	}
	for key, v := range c.Extra {
		if !isNested(key) {
			note(key)
			continue
		}
		inner, _, err := splitObject(v)
		if err != nil {
			note(key) // Validate reports it
		}
		for k := range inner {
			note(key + "." + k)
		}
	}
	slices.Sort(keys)
	return keys
}

func isNested(key string) bool { return key == ropeKey || key == quantizationKey }

// extra moves the remaining keys of the object at key to c.Extra; key is "" for the file
// itself.
func (p *parser) extra(c *Config, key string, left map[string]json.RawMessage) {
	kept := map[string]json.RawMessage{}
	for k, v := range left {
		if key != "" || !droppedKeys[k] {
			kept[k] = canonical(v)
		}
	}
	if len(kept) == 0 {
		return
	}
	if c.Extra == nil {
		c.Extra = map[string]json.RawMessage{}
	}
	if key == "" {
		maps.Copy(c.Extra, kept)
		return
	}
	c.Extra[key] = canonical(kept)
}

// canonical returns v as json.Marshal writes it, so that Extra is the same after a round
// trip. v is a decoded JSON value.
func canonical(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("model: config: decoded JSON does not encode: " + err.Error())
	}
	return b
}

// writeExtra adds the keys of Extra to out, the keys of a file.
func (c Config) writeExtra(out map[string]any) error {
	for key, v := range c.Extra {
		if !isNested(key) {
			out[key] = v
			continue
		}
		inner, _, err := splitObject(v)
		if err != nil {
			return fmt.Errorf("model: config: Extra[%q] is not a JSON object: %w", key, err)
		}
		object, ok := out[key].(map[string]any)
		if !ok {
			return fmt.Errorf("model: config: Extra[%q] without Quantization", key)
		}
		for k, v := range inner {
			object[k] = v
		}
	}
	return nil
}

// extra reports entries of Extra that would not be the same when read back.
func (k *checker) extra(c Config) {
	taken := maps.Clone(droppedKeys)
	for f := range configFields(reflect.ValueOf(c)) {
		taken[jsonKey(f, c.ModelType)] = !isNested(jsonKey(f, c.ModelType))
	}
	for key := range fixedKeys {
		taken[key] = true
	}
	for _, a := range aliasesOf(c.ModelType) {
		taken[a[0]] = true
	}
	if c.RoPEScaling != nil {
		taken["original_max_position_embeddings"] = true // because it would be read as a key of rope_scaling
	}
	for _, key := range slices.Sorted(maps.Keys(c.Extra)) {
		switch v := c.Extra[key]; {
		case taken[key]:
			k.fail(key, nil, "must not be in Extra: it has a field or a fixed meaning")
		case !json.Valid(v):
			k.fail(key, nil, "Extra must hold JSON")
		case key == ropeKey && c.RoPEScaling != nil:
			k.nestedExtra(key, v, reflect.ValueOf(*c.RoPEScaling), c.RoPEScaling.Type)
		case key == ropeKey:
			k.nestedExtra(key, v, reflect.Value{}, "default")
		case key == quantizationKey && c.Quantization == nil:
			k.fail(key, nil, "must not be in Extra without Quantization")
		case key == quantizationKey:
			k.nestedExtra(key, v, reflect.ValueOf(*c.Quantization), "")
		}
	}
}

// nestedExtra does the same for an object of Extra that extends the nested struct with the
// given fields.
func (k *checker) nestedExtra(key string, v json.RawMessage, fields reflect.Value, ropeType string) {
	inner, repeated, err := splitObject(v)
	if err != nil || len(inner) == 0 || len(repeated) > 0 {
		k.fail(key, v, "Extra must hold an object with keys that do not repeat")
		return
	}
	taken := setOf("type", "rope_type", "rope_theta", "partial_rotary_factor", "expert_dtype")
	if fields.IsValid() {
		for f := range fields.Fields() {
			taken[jsonKey(f, "")] = hasRoPEType(f, ropeType)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		if taken[name] {
			k.fail(key+"."+name, nil, "must not be in Extra: it has a field or a fixed meaning")
		}
	}
}

// hasRoPEType reports whether the nested field exists for ropeType.
func hasRoPEType(f reflect.StructField, ropeType string) bool {
	tag := f.Tag.Get("rope")
	return tag == "" || tag == ropeType
}
