package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aha-go/aha/model/checkpoint"
)

// ReadConfig reads a config.json, a regular file of at most 16 MiB. Links out of its
// folder are refused as by [checkpoint.Open]. Its errors name the file; see [ParseConfig].
func ReadConfig(path string) (Config, error) { return readConfig(path, checkpoint.OpenOptions{}) }

func readConfig(path string, o checkpoint.OpenOptions) (Config, error) {
	dir, name := filepath.Split(path)
	b, err := checkpoint.ReadFile(filepath.Clean(dir), name, o)
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
// this package, as old or new versions of transformers write it, and validates
// it. All faults come back at once in a [*ConfigError]: missing, mistyped and
// repeated keys, keys that change the model in a way that is not supported, and
// what [Config.Validate] finds. A key without a field is no fault: it is kept in
// Extra, and [Config.Unknown] lists those to report.
//
// The Config is filled as far as possible even on error.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	raw, repeated, err := splitObject(b)
	if err != nil {
		return c, fmt.Errorf("model: config: not a JSON object: %w", err)
	}
	p := &parser{raw: raw}
	p.repeats("", repeated)
	p.aliases()
	p.ropeScaling(&c)
	p.quantization(&c)
	p.given = maps.Clone(p.raw)
	p.fields("", reflect.ValueOf(&c).Elem(), p.raw)
	p.absent(&c)
	p.slidingWindow(&c)
	p.fixed(&c)
	p.extra(&c, "", p.raw)
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
// type and Extra: the keys that old and new versions of transformers read,
// numbers typed as transformers types them. A Config that validates reads back
// as it was.
func (c Config) MarshalJSON() ([]byte, error) {
	class, ok := architectures[c.ModelType]
	if !ok {
		return nil, fmt.Errorf("model: config: model_type %q is unknown", c.ModelType)
	}
	out := map[string]any{"architectures": []string{class}}
	for f, v := range configFields(reflect.ValueOf(c)) {
		key := jsonKey(f, c.ModelType)
		switch {
		case f.Type.Kind() == reflect.Pointer, !inFamily(f, c.ModelType): // nested objects follow
		case v.IsZero() && mayBeAbsent[key] && !alwaysWritten(f, c.ModelType):
		case v.IsZero() && writtenAsNull[key]:
			out[key] = nil
		default:
			out[key] = pythonTyped(v)
		}
	}
	if c.RoPEScaling != nil {
		out[ropeKey] = nestedObject(reflect.ValueOf(*c.RoPEScaling))
	} else if c.Extra[ropeKey] != nil {
		out[ropeKey] = map[string]any{"type": "default"}
	}
	if c.Quantization != nil {
		out[quantizationKey] = nestedObject(reflect.ValueOf(*c.Quantization))
	}
	if err := c.writeExtra(out); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// alwaysWritten reports whether the zero of a field that a file may lack is
// written, because transformers gives an absent key a value of its own: token
// ids, booleans and V3's one MTP module.
func alwaysWritten(f reflect.StructField, modelType string) bool {
	return f.Type.Kind() == reflect.Bool || f.Type == reflect.TypeFor[TokenIDs]() ||
		f.Name == "NumNextNPredictLayers" && modelType == TypeDeepSeekV3
}

// nestedObject has the fields of a struct that are set.
func nestedObject(v reflect.Value) map[string]any {
	out := map[string]any{}
	for f, v := range v.Fields() {
		if !v.IsZero() {
			out[jsonKey(f, "")] = pythonTyped(v)
		}
	}
	return out
}

// pythonTyped is a field's value as Python's json module writes it: Python reads
// a number without point and exponent as an int, which transformers refuses where
// it wants a float. A nil list is an empty one.
func pythonTyped(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.Float64:
		return pythonFloat(v.Float())
	case v.Type() == reflect.TypeFor[[]int]() && v.IsNil():
		return []int{}
	}
	return v.Interface()
}

// pythonFloat marshals as Python's repr of a float: 1.0, 2.5, 1e-06.
type pythonFloat float64

// MarshalJSON writes the shortest number that reads back as f.
func (f pythonFloat) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(f)) // refuses what is not finite
	if err != nil {
		return nil, err
	}
	if exponent := strconv.FormatFloat(float64(f), 'e', -1, 64); f != 0 {
		n, _ := strconv.Atoi(exponent[strings.IndexByte(exponent, 'e')+1:])
		if n < -4 || n >= 16 {
			return []byte(exponent), nil
		}
		text = strconv.AppendFloat(nil, float64(f), 'f', -1, 64)
	}
	if !strings.Contains(string(text), ".") {
		text = append(text, ".0"...)
	}
	return text, nil
}
