package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/model/gguf"
)

// FileName is the name of a tokenizer's file in a model folder.
const FileName = "tokenizer.json"

// Limits of files, far above those of real files.
const (
	maxFile  = 64 << 20 // bytes
	maxAdded = 100_000  // added tokens
)

// Load reads a tokenizer.json, the tokenizer.json of a folder, or the tokenizer of a GGUF
// file. The tokens of roles are read from tokenizer_config.json in the folder, if there is
// one. As in transformers, its add_bos_token and add_eos_token are ignored: tokenizer.json
// determines which tokens are added to texts.
func Load(path string) (*Tokenizer, error) {
	if gguf.IsGGUF(path) {
		return loadGGUF(path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if info.IsDir() {
		path = filepath.Join(path, FileName)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if filepath.Base(path) == FileName {
		if err := t.readConfig(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// file is a tokenizer.json, without truncation and padding, which concern batches.
type file struct {
	AddedTokens   json.RawMessage `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         struct {
		Type         string          `json:"type"`
		Dropout      *float64        `json:"dropout"`
		Unknown      string          `json:"unk_token"`
		Prefix       string          `json:"continuing_subword_prefix"`
		Suffix       string          `json:"end_of_word_suffix"`
		FuseUnknown  bool            `json:"fuse_unk"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       json.RawMessage `json:"merges"`
	} `json:"model"`
}

// component is a normalizer, post-processor or decoder.
type component struct {
	Type        string      `json:"type"`
	Normalizers []component `json:"normalizers"`
	Processors  []component `json:"processors"`
	Single      []struct {
		Special  *struct{ ID string } `json:"SpecialToken"`
		Sequence *struct{ ID string } `json:"Sequence"`
	} `json:"single"`
	Specials map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

// Parse reads the contents of a tokenizer.json. A pattern, normalizer or other part that a
// Tokenizer does not support is an error that names it and wraps ErrUnsupported.
func Parse(data []byte) (*Tokenizer, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("tokenizer: file is larger than %d MiB", maxFile>>20)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	var v Vocabulary
	var err error
	if v.Pattern, err = patternOf(orNull(f.PreTokenizer)); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	for _, part := range []struct {
		name string
		text json.RawMessage
		read func(*Vocabulary, component) error
	}{
		{"normalizer", f.Normalizer, readNormalizer}, {"post_processor", f.PostProcessor, readPostProcessor},
		{"decoder", f.Decoder, readDecoder},
	} {
		var c component
		if err := json.Unmarshal(orNull(part.text), &c); err != nil {
			return nil, fmt.Errorf("tokenizer: %s: %w", part.name, err)
		}
		if err := part.read(&v, c); err != nil {
			return nil, fmt.Errorf("tokenizer: %s %s: %w", part.name, shorten(string(part.text)), err)
		}
	}
	if err := readModel(&v, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: model: %w", err)
	}
	if v.Added, err = readAdded(f.AddedTokens); err != nil {
		return nil, fmt.Errorf("tokenizer: added_tokens: %w", err)
	}
	return New(v)
}

func orNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}

func readNormalizer(v *Vocabulary, c component) error {
	switch c.Type {
	case "":
	case "NFC":
		v.NFC = true
	case "Sequence":
		for _, part := range c.Normalizers {
			if err := readNormalizer(v, part); err != nil {
				return err
			}
		}
	default:
		return ErrUnsupported
	}
	return nil
}

func readPostProcessor(v *Vocabulary, c component) error {
	switch c.Type {
	case "", "ByteLevel": // ByteLevel changes offsets only
	case "Sequence":
		for _, part := range c.Processors {
			if err := readPostProcessor(v, part); err != nil {
				return err
			}
		}
	case "TemplateProcessing":
		texts := 0
		for _, item := range c.Single {
			switch {
			case item.Sequence != nil && item.Sequence.ID == "A":
				texts++
			case item.Special == nil:
				return ErrUnsupported
			default:
				special, ok := c.Specials[item.Special.ID]
				if !ok {
					return fmt.Errorf("special_tokens has no %q", shorten(item.Special.ID))
				}
				around := &v.Prefix
				if texts > 0 {
					around = &v.Suffix
				}
				*around = append(*around, special.IDs...)
			}
			if n := len(v.Prefix) + len(v.Suffix); n > maxAround {
				return fmt.Errorf("%d ids are put around texts, at most %d", n, maxAround)
			}
		}
		if texts != 1 {
			return ErrUnsupported
		}
	default:
		return ErrUnsupported
	}
	return nil
}

func readDecoder(v *Vocabulary, c component) error {
	if want := decoderOf(v.Pattern); c.Type != want {
		return fmt.Errorf("of pre_tokenizer %s, want %s: %w", v.Pattern, want, ErrUnsupported)
	}
	return nil
}

// decoderOf returns the type of decoder that a pattern requires.
func decoderOf(p Pattern) string {
	if p == Characters {
		return "Fuse"
	}
	return "ByteLevel"
}

func readModel(v *Vocabulary, f *file) error {
	m := &f.Model
	if m.Type != "BPE" {
		return fmt.Errorf("type %q, want BPE: %w", shorten(m.Type), ErrUnsupported)
	}
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"dropout", m.Dropout != nil && *m.Dropout != 0}, {"fuse_unk", m.FuseUnknown && m.Unknown != ""},
		{"continuing_subword_prefix", m.Prefix != ""}, {"end_of_word_suffix", m.Suffix != ""},
		{"byte_fallback", m.ByteFallback},
	} {
		if option.given {
			return fmt.Errorf("%s: %w", option.name, ErrUnsupported)
		}
	}
	v.Unknown, v.IgnoreMerges = m.Unknown, m.IgnoreMerges
	var err error
	if v.Tokens, err = readVocab(m.Vocab); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	return readMerges(v, m.Merges)
}

// readVocab returns the tokens by id. It reads them one by one, since decoding to a map
// would hide duplicates.
func readVocab(text json.RawMessage) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(orNull(text)))
	open, err := d.Token()
	if open == nil || err != nil {
		return nil, err
	}
	if open != json.Delim('{') {
		return nil, fmt.Errorf("%v is no object", open)
	}
	var tokens []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		token, id := key.(string), int32(0)
		if err := d.Decode(&id); err != nil {
			return nil, fmt.Errorf("token %q: %w", shorten(token), err)
		}
		switch {
		case token == "":
			return nil, fmt.Errorf("the token with id %d is empty", id)
		case id < 0 || id >= maxTokens:
			return nil, fmt.Errorf("token %q has id %d, want 0 to %d", shorten(token), id, maxTokens-1)
		case int(id) >= len(tokens):
			tokens = append(tokens, make([]string, int(id)+1-len(tokens))...)
		case tokens[id] != "":
			return nil, fmt.Errorf("tokens %q and %q have id %d", shorten(tokens[id]), shorten(token), id)
		}
		tokens[id] = token
	}
	return tokens, nil
}

// readMerges reads merges of the form ["a", "b"] or, in older files, "a b".
func readMerges(v *Vocabulary, text json.RawMessage) error {
	if len(text) == 0 {
		return nil
	}
	if trimmed := bytes.TrimLeft(text[1:], " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' {
		if err := json.Unmarshal(text, &v.Merges); err != nil {
			return fmt.Errorf("merges: %w", err)
		}
		return nil
	}
	var pairs [][]string
	if err := json.Unmarshal(text, &pairs); err != nil {
		return fmt.Errorf("merges: %w", err)
	}
	v.Merges = make([]string, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 {
			return fmt.Errorf("merges: merge %d has %d tokens, want 2", i, len(pair))
		}
		v.Merges[i] = pair[0] + " " + pair[1]
	}
	return nil
}

// readAdded reads added tokens one by one, so that the limit applies before a longer list
// is in memory.
func readAdded(text json.RawMessage) ([]Added, error) {
	d := json.NewDecoder(bytes.NewReader(orNull(text)))
	open, err := d.Token()
	if open == nil || err != nil {
		return nil, err
	}
	if open != json.Delim('[') {
		return nil, fmt.Errorf("%v is no list", open)
	}
	var list []Added
	for d.More() {
		if len(list) == maxAdded {
			return nil, fmt.Errorf("more than %d", maxAdded)
		}
		var a Added
		if err := d.Decode(&a); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(list), err)
		}
		list = append(list, a)
	}
	return list, nil
}
