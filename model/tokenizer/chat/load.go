package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// ErrNone is wrapped by errors about models without a template.
var ErrNone = errors.New("no chat template")

// GGUFKey is the key of a template's Jinja text in the metadata of a GGUF file.
const GGUFKey = "tokenizer.chat_template"

// Load returns the template of a model, whose Jinja text [Jinja] returns. The error wraps
// ErrNone if there is none, and ErrUnsupported if it has no native form.
func Load(path string) (Template, error) {
	jinja, err := Jinja(path)
	if err == nil && jinja == "" {
		err = fmt.Errorf("%s: %w", path, ErrNone)
	}
	if err != nil {
		return "", err
	}
	t, err := Find(jinja)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Jinja returns the Jinja text of a model's template, "" if it has none. In a folder this
// is the file chat_template.jinja or else chat_template in tokenizer_config.json; of
// several templates there, the one named default. In a GGUF file it is in the metadata.
func Jinja(path string) (string, error) {
	read := ofFolder
	if gguf.IsGGUF(path) {
		read = ofGGUF
	}
	jinja, err := read(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return jinja, nil
}

// ofGGUF returns the Jinja text of a GGUF file, "" if it has none.
func ofGGUF(path string) (string, error) {
	r, err := gguf.Open(path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	jinja, err := gguf.Value[string](r.Metadata, GGUFKey)
	if errors.Is(err, gguf.ErrMissing) {
		err = nil
	}
	return jinja, err
}

// ofFolder returns the Jinja text in a folder, "" if it has none.
func ofFolder(dir string) (string, error) {
	text, err := checkpoint.ReadFile(dir, "chat_template.jinja", checkpoint.OpenOptions{})
	if !errors.Is(err, fs.ErrNotExist) {
		return string(text), err
	}
	const config = "tokenizer_config.json"
	text, err = checkpoint.ReadFile(dir, config, checkpoint.OpenOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	var file struct {
		Template templates `json:"chat_template"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(dir, config), err)
	}
	return string(file.Template), nil
}

// templates is the Jinja text of chat_template: a string, or the template named default in
// a list.
type templates string

func (t *templates) UnmarshalJSON(text []byte) error {
	var list []struct{ Name, Template string }
	if json.Unmarshal(text, &list) != nil {
		return json.Unmarshal(text, (*string)(t))
	}
	for _, entry := range list {
		if entry.Name == "default" {
			*t = templates(entry.Template)
		}
	}
	return nil
}
