package chat

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/gguf"
)

func TestLoadFindsTheTemplate(t *testing.T) {
	smol := jinja(t)
	quoted, err := json.Marshal(smol)
	if err != nil {
		t.Fatal(err)
	}
	text := string(quoted)
	for _, c := range []struct {
		files map[string]string
		want  error
	}{
		{map[string]string{"tokenizer_config.json": `{"chat_template": ` + text + `, "bos_token": "x"}`}, nil},
		{map[string]string{"chat_template.jinja": smol}, nil},
		{map[string]string{"chat_template.jinja": smol, "tokenizer_config.json": `{"chat_template": "{{ 1 }}"}`}, nil},
		{map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "tool_use", "template": "{{ 1 }}"}, ` +
			`{"name": "default", "template": ` + text + `}]}`}, nil},
		{map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "tool", "template": "x"}]}`}, ErrNone},
		{map[string]string{"tokenizer_config.json": `{"chat_template": null}`}, ErrNone},
		{map[string]string{"tokenizer_config.json": `{}`}, ErrNone},
		{nil, ErrNone},
		{map[string]string{"chat_template.jinja": "{{ 1 }}"}, ErrUnsupported},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		checkLoad(t, dir, c.want)
	}
	for _, c := range []struct {
		metadata gguf.Metadata
		want     error
	}{
		{gguf.Metadata{{Key: "tokenizer.chat_template", Value: smol}}, nil},
		{nil, ErrNone},
		{gguf.Metadata{{Key: "tokenizer.chat_template", Value: "{{ 1 }}"}}, ErrUnsupported},
		{gguf.Metadata{{Key: "tokenizer.chat_template", Value: uint8(1)}}, gguf.ErrValue},
	} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := gguf.Write(f, c.metadata, nil); err != nil {
			t.Fatal(err)
		}
		checkLoad(t, path, c.want)
	}
}

// checkLoad checks that path gives the template of SmolLM2, or fails with want.
func checkLoad(t *testing.T, path string, want error) {
	t.Helper()
	got, err := Load(path)
	if want == nil && (err != nil || got != SmolLM2) {
		t.Errorf("template %q, error %v", got, err)
	}
	if want != nil && (!errors.Is(err, want) || !strings.Contains(err.Error(), path)) {
		t.Errorf("error %v, want %v of %s", err, want, path)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokenizer_config.json")
	if err := os.WriteFile(path, []byte(`{"chat_template": 1}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want %s", err, path)
	}
}
