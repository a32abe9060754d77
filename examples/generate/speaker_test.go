package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
	"github.com/aha-go/aha/model/train"
)

// smol is the chat template of SmolLM2.
var smol = func() string {
	text, err := os.ReadFile("../../model/tokenizer/chat/testdata/SmolLM2.jinja")
	if err != nil {
		panic(err)
	}
	return string(text)
}()

const hello = "Grüße 😀"

// taught lists the conversations that the model of speaker has memorised.
var taught = [][]string{
	{"Hi", hello},
	{"Hi", hello, "And?", "Bye"},
	{"And?", "<think>what</think>What?"},
}

func messages(texts []string) (list []chat.Message) {
	for i, text := range texts {
		list = append(list, chat.Message{Role: []string{chat.User, chat.Assistant}[i%2], Content: text})
	}
	return list
}

// bytesWith returns a tokenizer whose vocabulary is the bytes and the special tokens of the
// chat template.
func bytesWith(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	var added []tokenizer.Added
	for _, text := range []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"} {
		added = append(added, tokenizer.Added{Content: text, Special: true})
	}
	tok, err := tokenizer.NewBytes(append(added, tokenizer.Added{Content: thinkOpen})...)
	must(t, err)
	return tok
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// small returns the config of a Llama with two layers.
func small(t testing.TB, vocab int) model.Config {
	t.Helper()
	c, err := model.ReadConfig("../../model/testdata/golden/llama3_scaling/config.json")
	must(t, err)
	c.VocabSize, c.MaxPositionEmbeddings, c.RoPEScaling, c.RoPETheta = vocab, 400, nil, 1e4
	c.EOSTokenID = nil
	return c
}

var teach sync.Once

// speaker returns the folder of a model over bytes that is trained on the conversations of
// taught.
func speaker(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(shared, "model")
	teach.Do(func() {
		tok := bytesWith(t)
		b, err := backend.Open("cpu")
		must(t, err)
		defer b.Close()
		m, err := model.New(b, small(t, tok.Len()), 1)
		must(t, err)
		defer m.Free()
		var seqs []model.Sequence
		for _, texts := range taught {
			parts, err := chat.SmolLM2.RenderParts(messages(texts), chat.Options{})
			must(t, err)
			q := model.Sequence{}
			for _, p := range parts {
				q.IDs, err = tok.Append(q.IDs, p.Text)
				must(t, err)
				for len(q.Weight) < len(q.IDs) {
					q.Weight = append(q.Weight, map[bool]float32{true: 1}[p.Answer])
				}
			}
			q.Weight = q.Weight[1:]
			seqs = append(seqs, q)
		}
		tr := train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, Steps: 100}
		must(t, tr.Run(t.Context(), train.DataFunc(func(int) ([]model.Sequence, error) { return seqs, nil })))
		save(t, dir, m, tok, smol)
	})
	return dir
}

// save saves a model with its tokenizer and, if template is not "", the chat template.
func save(t testing.TB, dir string, m *model.Model, tok *tokenizer.Tokenizer, template string) {
	t.Helper()
	text, err := json.Marshal(tok)
	must(t, err)
	files := map[string]func(io.Writer) error{
		tokenizer.FileName: func(w io.Writer) error { _, err := w.Write(text); return err },
	}
	if template != "" {
		files["tokenizer_config.json"] = func(w io.Writer) error {
			return json.NewEncoder(w).Encode(map[string]string{"chat_template": template})
		}
	}
	must(t, model.Save(dir, m, model.SaveOptions{Files: files}))
}

// open loads a model folder and returns a generator.
func open(t *testing.T, dir string) *model.Generator {
	t.Helper()
	b, err := backend.Open("cpu")
	must(t, err)
	t.Cleanup(func() { b.Close() })
	m, _, err := model.Load(b, dir, model.LoadOptions{})
	must(t, err)
	t.Cleanup(m.Free)
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1})
	must(t, err)
	t.Cleanup(g.Close)
	return g
}
