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

// TokenizerFiles returns tokenizer.json and tokenizer_config.json, which includes the chat template, of the model
// at path, in the form that transformers reads. If the model has no tokenizer, or an unsupported one, it prints a
// line to standard error and returns nil.
func TokenizerFiles(path string) (map[string]func(w io.Writer) error, error) {
	t, template, err := tokenizerOf(path)
	if err != nil {
		return nil, leftOut(err)
	}
	return t.Files(template), nil
}

// TokenizerMetadata returns the GGUF metadata for the tokenizer and the chat template of the model at path,
// padded to vocab tokens. If the model has no tokenizer, or one that GGUF cannot represent, it prints a line to
// standard error and returns nil.
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

// tokenizerOf loads the tokenizer of the model at path and the Jinja text of its chat template, or "" if it has none.
func tokenizerOf(path string) (*tokenizer.Tokenizer, string, error) {
	t, err := tokenizer.Load(path)
	if err != nil {
		return nil, "", err
	}
	template, err := chat.Jinja(path)
	return t, template, err
}

// leftOut prints that the tokenizer is left out, if err says that it is missing or unsupported. It returns other
// errors.
func leftOut(err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, tokenizer.ErrUnsupported) && !errors.Is(err, gguf.ErrMissing) {
		return err
	}
	fmt.Fprintf(os.Stderr, "the tokenizer is left out: %v\n", err)
	return nil
}
