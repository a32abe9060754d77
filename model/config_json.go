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

// ReadConfig reads a config.json, which must be a regular file of at most 16 MiB. A link
// out of its folder is an error, as in [checkpoint.Open]. Errors name the file; see
// [ParseConfig].
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

// ParseConfig decodes and validates a Hugging Face config.json of one of this package's
// model types, in the format of old or new versions of transformers. It reports all faults
// at once in a [*ConfigError]: missing, mistyped and repeated keys, keys that change the
// model in an unsupported way, and the faults that [Config.Validate] finds. A key without a
// field is not a fault: it is kept in Extra, and [Config.Unknown] lists those that should
// be reported.
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
			// A key that could not be read is not also reported as out of range.
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

// UnmarshalJSON calls [ParseConfig]; on error it leaves c unchanged.
func (c *Config) UnmarshalJSON(b []byte) error {
	parsed, err := ParseConfig(b)
	if err == nil {
		*c = parsed
	}
	return err
}

// MarshalJSON writes a config.json with sorted keys: the fields of the model type, and
// Extra. It uses the keys that old and new versions of transformers read, and types numbers
// as transformers does. Reading the result of a valid Config gives the same Config.
func (c Config) MarshalJSON() ([]byte, error) {
	class, ok := architectures[c.ModelType]
	if !ok {
		return nil, fmt.Errorf("model: config: model_type %q is unknown", c.ModelType)
	}
	out := map[string]any{"architectures": []string{class}}
	for f, v := range configFields(reflect.ValueOf(c)) {
		key := jsonKey(f, c.ModelType)
		switch {
		case f.Type.Kind() == reflect.Pointer, !inFamily(f, c.ModelType): // nested objects are added below
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

// alwaysWritten reports whether a field is written even if it is zero and files may lack
// its key, because transformers has a nonzero default for an absent key: token ids,
// booleans, and V3's one MTP module.
func alwaysWritten(f reflect.StructField, modelType string) bool {
	return f.Type.Kind() == reflect.Bool || f.Type == reflect.TypeFor[TokenIDs]() ||
		f.Name == "NumNextNPredictLayers" && modelType == TypeDeepSeekV3
}

// nestedObject returns the nonzero fields of a struct by their keys.
func nestedObject(v reflect.Value) map[string]any {
	out := map[string]any{}
	for f, v := range v.Fields() {
		if !v.IsZero() {
			out[jsonKey(f, "")] = pythonTyped(v)
		}
	}
	return out
}

// pythonTyped returns a field's value in a form that is written as Python's json module
// would: Python reads a number without point and exponent as an int, which transformers
// rejects if it expects a float. A nil list becomes an empty one.
func pythonTyped(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.Float64:
		return pythonFloat(v.Float())
	case v.Type() == reflect.TypeFor[[]int]() && v.IsNil():
		return []int{}
	}
	return v.Interface()
}

// pythonFloat is marshalled like Python's repr of a float: 1.0, 2.5, 1e-06.
type pythonFloat float64

// MarshalJSON writes the shortest number that parses to f.
func (f pythonFloat) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(f)) // fails if f is not finite
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
