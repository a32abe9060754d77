package keys

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type settings struct {
	Name  string             `json:"name"`
	Count int                `json:"num_generations"`
	Rate  float64            `json:"learning_rate"`
	Seed  uint64             `json:"seed"`
	On    bool               `json:"shuffle"`
	Parts map[string]float64 `json:"parts"`
	Every int                `json:"save_every" free:"true"`
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// Flags override the file, which overrides the values that the struct had.
func TestFileAndFlags(t *testing.T) {
	s := settings{Name: "a", Count: 8, Rate: 1, Every: 3}
	k := Of(&s)
	set := flag.NewFlagSet("", flag.ContinueOnError)
	k.Flags(set)
	if err := set.Parse([]string{"-num-generations", "4", "-shuffle", "-seed=7"}); err != nil {
		t.Fatal(err)
	}
	if err := k.File(write(t, `{"num_generations": 2, "learning_rate": 1e-6, "parts": {"x": 0.5}}`)); err != nil {
		t.Fatal(err)
	}
	if err := k.SetFlags(); err != nil {
		t.Fatal(err)
	}
	want := settings{Name: "a", Count: 4, Rate: 1e-6, Seed: 7, On: true, Parts: map[string]float64{"x": 0.5}, Every: 3}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("%+v, want %+v", s, want)
	}
	if !k.Given("seed") || !k.Given("learning_rate") || k.Given("name") {
		t.Error("Given is wrong about seed, learning_rate or name")
	}
	if m := k.Fixed(); len(m) != 6 || m["num_generations"] != 4 {
		t.Errorf("fixed: %v", m)
	}
}

func TestBadKeysAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		`{"num_generation": 2}`:            `unknown key "num_generation", did you mean num_generations?`,
		`{"sede": 2}`:                      `unknown key "sede", did you mean seed?`,
		`{"wholly_other": 2}`:              `unknown key "wholly_other", want one of name, num_generations,`,
		`{"seed": 1, "seed": 2}`:           `duplicate key "seed"`,
		`{"seed": null}`:                   `seed is null`,
		`{"num_generations": "8"}`:         `num_generations: want a whole number, got string`,
		`{"num_generations": 8.5}`:         `num_generations: want a whole number, got number 8.5`,
		`{"seed": -1}`:                     `seed: want a whole number, got number -1`,
		`{"parts": 3}`:                     `parts: want an object of numbers, got number`,
		`[1]`:                              `not a JSON object`,
		`{"seed": 1} {}`:                   `unexpected text after the JSON object`,
		`{"seed": 1`:                       `EOF`,
		``:                                 `EOF`,
		`{"learning_rate": 1, "shuffle":}`: `shuffle: `,
	} {
		path := write(t, text)
		if err := Of(&settings{}).File(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
	for arg, want := range map[string]string{
		"-num-generations=x":  `-num-generations "x": want a whole number`,
		"-learning-rate=fast": `-learning-rate "fast": want a number`,
		"-shuffle=perhaps":    `-shuffle "perhaps": want true or false`,
	} {
		k := Of(&settings{})
		set := flag.NewFlagSet("", flag.ContinueOnError)
		k.Flags(set)
		if err := set.Parse([]string{arg}); err != nil {
			t.Fatal(err)
		}
		if err := k.SetFlags(); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", arg, err, want)
		}
	}
}
