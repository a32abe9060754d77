package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/aha-go/aha/model/gguf"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// TokenizerFiles are tokenizer.json and tokenizer_config.json, chat template included, of the model at path,
// as a folder of transformers has them. If the model has no tokenizer, or one of a kind that the library does
// not have, standard error says so and there are none.
func TokenizerFiles(path string) (map[string]func(w io.Writer) error, error) {
	t, template, err := tokenizerOf(path)
	if err != nil {
		return nil, leftOut(err)
	}
	return t.Files(template), nil
}

// TokenizerMetadata is what the metadata of a GGUF file say of tokenizer and chat template of the model at
// path, which has vocab tokens. If the model has no tokenizer, or one that GGUF has no place for, standard
// error says so and there are none.
func TokenizerMetadata(path string, vocab int) (gguf.Metadata, error) {
	t, template, err := tokenizerOf(path)
	if err != nil {
		return nil, leftOut(err)
	}
	m, err := t.ToGGUF(vocab)
	if err != nil {
		return nil, leftOut(fmt.Errorf("%s: %w", path, err))
	}
	if template != "" {
		m = append(m, gguf.KeyValue{Key: chat.GGUFKey, Value: template})
	}
	return m, nil
}

// tokenizerOf reads the tokenizer of the model at path and the Jinja text of its template, "" if it has none.
func tokenizerOf(path string) (*tokenizer.Tokenizer, string, error) {
	t, err := tokenizer.Load(path)
	if err != nil {
		return nil, "", err
	}
	template, err := chat.Jinja(path)
	return t, template, err
}

// leftOut reports that a tokenizer is left out, or returns err if it is broken.
func leftOut(err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, tokenizer.ErrUnsupported) && !errors.Is(err, gguf.ErrMissing) {
		return err
	}
	fmt.Fprintf(os.Stderr, "the tokenizer is left out: %v\n", err)
	return nil
}
