package model

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/config/written")

// configFixtures returns the files written by testdata/config.py: <major version of
// transformers>_<case>.json.
func configFixtures(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/config/[0-9]_*.json")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files in testdata/config, %v", len(paths), err)
	}
	return paths
}

// The files that transformers 4 and 5 write for one model give the same Config, have no
// unknown keys, and are written back as in testdata/config/written, which config.py loaded
// with both versions.
func TestConfigsOfTransformers(t *testing.T) {
	of4 := map[string]Config{}
	for _, path := range configFixtures(t) {
		c, err := ReadConfig(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if unknown := c.Unknown(); unknown != nil {
			t.Errorf("%s: unknown keys %q", path, unknown)
		}
		name := filepath.Base(path)
		sameAsWritten(t, name, c)
		major, name, _ := strings.Cut(name, "_")
		c.Extra = nil
		if major == "4" {
			of4[name] = c
			continue
		}
		c4 := of4[name]
		if c.ModelType == TypeDeepSeekV3 {
			c4.NumNextNPredictLayers = 1 // transformers 4 does not have the key
		}
		if diff := cmp.Diff(c4, c); diff != "" {
			t.Errorf("%s, versions 4 and 5: %s", name, diff)
		}
	}
	for _, p := range presets {
		sameAsWritten(t, p.name+".json", p.config())
	}
}

// sameAsWritten compares the output of MarshalJSON with the fixture, and reads it back.
func sameAsWritten(t *testing.T, name string, c Config) {
	t.Helper()
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata/config/written", name)
	if *update {
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(b)); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
	back, err := ParseConfig(b)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if diff := cmp.Diff(c, back); diff != "" {
		t.Errorf("%s read back: %s", name, diff)
	}
}

// The keys of YaRN that change cos and sin are read. As in transformers, only one of mscale
// and mscale_all_dim has no effect.
func TestYaRNOfTransformers(t *testing.T) {
	c, err := ReadConfig("testdata/config/5_qwen2_yarn.json")
	if err != nil {
		t.Fatal(err)
	}
	want := &RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPositionEmbeddings: 16, BetaFast: 32, BetaSlow: 1,
		AttentionFactor: 1, Truncate: new(false)}
	if diff := cmp.Diff(want, c.RoPEScaling); diff != "" {
		t.Error(diff)
	}
	if sc := c.scaling(); !sc.Untruncated || sc.AttentionFactor != 1 {
		t.Errorf("%+v", sc)
	}
	c, err = ReadConfig("testdata/config/5_deepseek_v3_all_dim.json")
	if err != nil {
		t.Fatal(err)
	}
	want = &RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPositionEmbeddings: 16, BetaFast: 32, BetaSlow: 1,
		MScaleAllDim: 1}
	if diff := cmp.Diff(want, c.RoPEScaling); diff != "" {
		t.Error(diff)
	}
}
