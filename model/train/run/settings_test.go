package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type scale struct {
	Group     int `json:"group"`
	MaxTokens int `json:"max_tokens"`
}

type settings struct {
	Seed  uint64         `json:"seed"`
	Scale scale          `json:"scale"`
	More  map[string]any `json:"more,omitempty"`
}

func TestSettleListsEveryDifference(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	first := settings{Seed: 1<<63 + 1, Scale: scale{8, 200}}
	for range 2 {
		if err := Settle(path, first); err != nil {
			t.Fatal(err)
		}
	}
	other := settings{Seed: 1 << 63, Scale: scale{8, 200}, More: map[string]any{"new": true}}
	other.Scale.Group, other.Scale.MaxTokens = 16, 100
	err := Settle(path, other)
	if err == nil {
		t.Fatal("other settings were accepted")
	}
	for _, want := range []string{
		path, "seed: 9223372036854775809 there, 9223372036854775808 now",
		"scale.group: 8 there, 16 now", "scale.max_tokens: 200 there, 100 now", `more: null there, {"new":true} now`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), " there, "); n != 4 {
		t.Errorf("%d differences: %v", n, err)
	}
	if err := Settle(path, first); err != nil {
		t.Errorf("the refusal changed the file: %v", err)
	}
	write(t, path, "{")
	if err := Settle(path, first); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error for a damaged file: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
