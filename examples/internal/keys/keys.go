// Package keys sets the fields of a struct by name, from a configuration file in JSON, in
// which unknown keys are errors, and from flags.
package keys

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
)

// Keys are the fields of a struct, by their names in JSON. A field's tag usage is the help
// text of its flag. A field with a tag free may change when a run is resumed.
type Keys struct {
	at    reflect.Value
	names []string
	place map[string]int
	given map[string]bool
	flags []setting
}

// setting is a flag that the command line sets.
type setting struct{ name, text string }

// Of returns the keys of the struct that p points to. Every field must have a json tag.
func Of(p any) *Keys {
	k := &Keys{at: reflect.ValueOf(p).Elem(), place: map[string]int{}, given: map[string]bool{}}
	for i := range k.at.NumField() {
		name := k.at.Type().Field(i).Tag.Get("json")
		k.names, k.place[name] = append(k.names, name), i
	}
	return k
}

// Names returns the names of all keys in the order of the fields.
func (k *Keys) Names() []string { return k.names }

// Given reports whether a file or a flag has set a key.
func (k *Keys) Given(name string) bool { return k.given[name] }

// Fixed returns the values of the keys that may not change when a run is resumed.
func (k *Keys) Fixed() map[string]any {
	m := map[string]any{}
	for name, i := range k.place {
		if k.at.Type().Field(i).Tag.Get("free") == "" {
			m[name] = k.at.Field(i).Interface()
		}
	}
	return m
}

// File sets keys from a file that contains a JSON object. Unknown keys, duplicate keys and
// values of another type are errors.
func (k *Keys) File(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	} else if open != json.Delim('{') {
		return fmt.Errorf("%s: not a JSON object", path)
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := key.(string)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
		i, ok := k.place[name]
		switch {
		case !ok:
			return fmt.Errorf("%s: unknown key %q%s", path, name, Suggest(name, k.names))
		case seen[name]:
			return fmt.Errorf("%s: duplicate key %q", path, name)
		case string(raw) == "null":
			return fmt.Errorf("%s: %s is null", path, name)
		}
		seen[name], k.given[name] = true, true
		f := k.at.Field(i)
		if err := json.Unmarshal(raw, f.Addr().Interface()); err != nil {
			if e, wrong := errors.AsType[*json.UnmarshalTypeError](err); wrong {
				err = fmt.Errorf("want %s, got %s", kind(f), e.Value)
			}
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if d.More() {
		return fmt.Errorf("%s: unexpected text after the JSON object", path)
	}
	return nil
}

// kind returns the type of a field's value for error messages.
func kind(f reflect.Value) string {
	switch f.Kind() {
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "an object of numbers"
	}
	return "a string"
}

// Flags defines a flag for each key, such as -num-generations for num_generations. The flags
// take effect with SetFlags. The help text has the value of the field as the default, unless
// it is zero.
func (k *Keys) Flags(set *flag.FlagSet) {
	for _, name := range k.names {
		i := k.place[name]
		usage := k.at.Type().Field(i).Tag.Get("usage")
		if f := k.at.Field(i); !f.IsZero() {
			usage += fmt.Sprintf(" (default %v)", f.Interface())
		}
		set.Var(&given{k, name}, flagName(name), usage)
	}
}

func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// given is a flag.Value that records the text of a flag for SetFlags.
type given struct {
	keys *Keys
	name string
}

// String returns "", so that package flag prints no default; Flags does.
func (g *given) String() string { return "" }

// Set records the text of a flag.
func (g *given) Set(text string) error {
	g.keys.flags = append(g.keys.flags, setting{g.name, text})
	return nil
}

// IsBoolFlag reports whether the flag may be given without a value.
func (g *given) IsBoolFlag() bool {
	return g.keys != nil && g.keys.at.Field(g.keys.place[g.name]).Kind() == reflect.Bool
}

// Text returns the text of the last flag for a key.
func (k *Keys) Text(name string) (text string, ok bool) {
	for _, s := range k.flags {
		if s.name == name {
			text, ok = s.text, true
		}
	}
	return text, ok
}

// SetFlags sets the keys whose flags are on the command line.
func (k *Keys) SetFlags() error {
	for _, s := range k.flags {
		f := k.at.Field(k.place[s.name])
		if err := set(f, s.text); err != nil {
			if errors.Is(err, strconv.ErrSyntax) || errors.Is(err, strconv.ErrRange) {
				err = fmt.Errorf("want %s", kind(f))
			}
			return fmt.Errorf("-%s %q: %w", flagName(s.name), s.text, err)
		}
		k.given[s.name] = true
	}
	return nil
}

// set parses text and sets a field to its value.
func set(f reflect.Value, text string) error {
	if u, ok := f.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch f.Kind() {
	case reflect.Bool:
		v, err := strconv.ParseBool(text)
		f.SetBool(v)
		return err
	case reflect.Int:
		v, err := strconv.Atoi(text)
		f.SetInt(int64(v))
		return err
	case reflect.Uint64:
		v, err := strconv.ParseUint(text, 10, 64)
		f.SetUint(v)
		return err
	case reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		f.SetFloat(v)
		return err
	}
	f.SetString(text)
	return nil
}
