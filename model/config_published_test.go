package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The files of testdata/published have the keys and values of published repositories. Each
// can be read, has no unknown key, gives the repository's number of parameters, and does
// not change when it is written and read again.
func TestConfigsOfPublishedModels(t *testing.T) {
	total := map[string]int64{
		"DeepSeek-V3": 671_026_419_200, "DeepSeek-R1": 671_026_419_200, "DeepSeek-V3.1": 671_026_419_200,
		"DeepSeek-V2-Lite": 15_706_484_224, "Moonlight-16B-A3B": 15_960_110_208,
		"Qwen2.5-7B-Instruct": 7_615_616_512, "Qwen3-8B": 8_190_735_360, "Qwen3-8B-FP8": 8_190_735_360,
		"Qwen3-30B-A3B": 30_532_122_624, "Llama-3.1-8B-Instruct": 8_030_261_248, "Llama-3.2-1B": 1_235_814_400,
		"DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000, "DeepSeek-R1-Distill-Llama-8B": 8_030_261_248,
	}
	paths, err := filepath.Glob("testdata/published/*.json")
	if err != nil || len(paths) != len(total) {
		t.Fatalf("%d files, want %d: %v", len(paths), len(total), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		c, err := ReadConfig(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if n, _ := c.NumParams(); n != total[name] {
			t.Errorf("%s: %d parameters, want %d", name, n, total[name])
		}
		if keys := c.Unknown(); keys != nil {
			t.Errorf("%s: unknown keys %q", name, keys)
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Error(err)
			continue
		}
		back, err := ParseConfig(text)
		if err != nil {
			t.Errorf("%s, written: %v", name, err)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Errorf("%s, written: %s", name, diff)
		}
	}
}

// A made-up key is listed as unknown, whatever file it is in.
func TestUnknownKeyOfAPublishedModelIsListed(t *testing.T) {
	text, err := os.ReadFile("testdata/published/Qwen3-8B.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig([]byte(strings.Replace(string(text), "{", `{"fancy_attention": true,`, 1)))
	if diff := cmp.Diff([]string{"fancy_attention"}, c.Unknown()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
