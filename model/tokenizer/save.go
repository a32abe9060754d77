package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/aha-go/aha/model/checkpoint"
)

// MarshalJSON returns a tokenizer.json that [Parse] and the library tokenizers can read.
func (t *Tokenizer) MarshalJSON() ([]byte, error) {
	added := []Added{}
	for _, a := range t.added {
		added = append(added, a)
	}
	slices.SortFunc(added, func(a, b Added) int { return cmp.Compare(a.ID, b.ID) })
	vocab := bytes.NewBufferString("{")
	for id, text := range t.texts {
		if t.kinds[id]&inModel == 0 {
			continue
		}
		if vocab.Len() > 1 {
			vocab.WriteByte(',')
		}
		token, err := json.Marshal(t.token(int32(id), text))
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		fmt.Fprintf(vocab, "%s:%d", token, id)
	}
	vocab.WriteByte('}')
	var unknown, normalizer any
	if t.unknown >= 0 {
		unknown = t.token(t.unknown, t.texts[t.unknown])
	}
	if t.nfc {
		normalizer = map[string]any{"type": "NFC"}
	}
	decoder := map[string]any{"type": decoderOf(t.pattern)}
	if decoder["type"] == "ByteLevel" {
		decoder["add_prefix_space"], decoder["trim_offsets"], decoder["use_regex"] = true, true, true
	}
	return json.Marshal(struct {
		Version       string          `json:"version"`
		Truncation    any             `json:"truncation"`
		Padding       any             `json:"padding"`
		AddedTokens   []Added         `json:"added_tokens"`
		Normalizer    any             `json:"normalizer"`
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor any             `json:"post_processor"`
		Decoder       any             `json:"decoder"`
		Model         any             `json:"model"`
	}{"1.0", nil, nil, added, normalizer, json.RawMessage(schemes[t.pattern].json), t.postProcessor(), decoder,
		map[string]any{"type": "BPE", "dropout": nil, "unk_token": unknown, "continuing_subword_prefix": nil,
			"end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": t.ignoreMerges,
			"vocab": json.RawMessage(vocab.Bytes()), "merges": t.mergeList()}})
}

// token returns the text of a token in the file.
func (t *Tokenizer) token(id int32, text string) string {
	if t.pattern == Characters || t.kinds[id]&literal != 0 || t.kinds[id]&inModel == 0 {
		return text
	}
	return alphabet(text)
}

// mergeList returns the merges in order of rank.
func (t *Tokenizer) mergeList() []string {
	slots := slices.DeleteFunc(slices.Clone(t.merges.slots), func(m merge) bool { return m.rank == noRank })
	slices.SortFunc(slots, func(a, b merge) int { return cmp.Compare(a.rank, b.rank) })
	list := make([]string, len(slots))
	for i, m := range slots {
		left, right := int32(m.pair>>32), int32(uint32(m.pair))
		list[i] = t.token(left, t.texts[left]) + " " + t.token(right, t.texts[right])
	}
	return list
}

// postProcessor returns the post-processor that adds prefix and suffix to a text.
func (t *Tokenizer) postProcessor() any {
	if len(t.prefix)+len(t.suffix) == 0 {
		return nil
	}
	specials := map[string]any{}
	item := func(id int32) any {
		text := t.texts[id]
		specials[text] = map[string]any{"id": text, "ids": []int32{id}, "tokens": []string{text}}
		return map[string]any{"SpecialToken": map[string]any{"id": text, "type_id": 0}}
	}
	sequence := func(name string) any { return map[string]any{"Sequence": map[string]any{"id": name, "type_id": 0}} }
	var before, after []any
	for _, id := range t.prefix {
		before = append(before, item(id))
	}
	for _, id := range t.suffix {
		after = append(after, item(id))
	}
	return map[string]any{"type": "TemplateProcessing", "special_tokens": specials,
		"single": slices.Concat(before, []any{sequence("A")}, after),
		"pair":   slices.Concat(before, []any{sequence("A")}, after, []any{sequence("B")})}
}

// Files returns the files tokenizer.json and tokenizer_config.json, in transformers'
// format, for model.SaveOptions.Files. tokenizer_config.json includes the chat template's
// Jinja text unless it is "".
func (t *Tokenizer) Files(template string) map[string]func(w io.Writer) error {
	config := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false}
	if template != "" {
		config["chat_template"] = template
	}
	for role, id := range t.roles {
		config[string(role)+"_token"] = t.texts[id]
	}
	return map[string]func(w io.Writer) error{
		FileName:   func(w io.Writer) error { return json.NewEncoder(w).Encode(t) },
		ConfigName: func(w io.Writer) error { return json.NewEncoder(w).Encode(config) },
	}
}

// Save writes tokenizer.json to path, or into the folder at path. The file is written
// atomically.
func (t *Tokenizer) Save(path string) error {
	text, err := t.MarshalJSON()
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, FileName)
	}
	err = checkpoint.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	return nil
}
