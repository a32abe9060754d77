package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnAdapterIsNoModel(t *testing.T) {
	const adapter, config = "adapter_config.json", "config.json"
	for _, c := range []struct {
		name  string
		files map[string]string // in the output folder of a run
		path  string
		want  []string // {out} stands for the output folder
		never string
	}{
		{"of another program", map[string]string{"adapter/" + adapter: `{"base_model_name_or_path": "Qwen/Qwen3-0.6B"}`},
			"adapter", []string{"-model {out}/adapter: no config.json: adapter_config.json shows that it is an adapter",
				"no flag takes an adapter", `merge it into its base model, "Qwen/Qwen3-0.6B" (in PEFT with merge_and_unload)`}, ""},
		{"its file", map[string]string{"adapter/" + adapter: `{"base_model_name_or_path": "Qwen/Qwen3-0.6B"}`,
			"adapter/adapter_model.safetensors": ""}, "adapter/adapter_model.safetensors",
			[]string{"it is an adapter", `its base model, "Qwen/Qwen3-0.6B"`}, ""},
		{"without a base model", map[string]string{"adapter/" + adapter: `{"base_model_name_or_path": null}`},
			"adapter", []string{"merge it into its base model (in PEFT"}, ""},
		{"damaged", map[string]string{"adapter/" + adapter: `{`}, "adapter",
			[]string{"merge it into its base model (in PEFT"}, ""},
		{"of a run", map[string]string{"adapter/" + adapter: `{"base_model_name_or_path": "tiny"}`, config: `{}`,
			"model/" + config: `{}`}, "adapter/",
			[]string{`set -model to {out}/model, where it is merged into its base model, "tiny"`}, "PEFT"},
		{"of an unfinished run", map[string]string{"adapter/" + adapter: `{"base_model_name_or_path": "tiny"}`,
			config: `{}`}, "adapter", []string{`merge it into its base model, "tiny"`}, "{out}/model"},
		{"no adapter", map[string]string{"adapter/tokenizer.json": `{}`}, "adapter",
			[]string{"-model {out}/adapter: no config.json: "}, "is an adapter"},
	} {
		out := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(out, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := ReadConfig(out + "/" + c.path)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		text := strings.ReplaceAll(filepath.ToSlash(err.Error()), filepath.ToSlash(out), "{out}")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: error %q, want %q", c.name, text, want)
			}
		}
		if c.never != "" && strings.Contains(text, c.never) {
			t.Errorf("%s: error %q has %q", c.name, text, c.never)
		}
	}
}
