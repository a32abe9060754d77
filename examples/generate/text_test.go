package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

func TestPromptIsAnswered(t *testing.T) {
	dir := speaker(t)
	file := filepath.Join(t.TempDir(), "prompt")
	must(t, os.WriteFile(file, []byte("Hi\n"), 0o666))
	rendered, err := chat.SmolLM2.Render(messages([]string{"Hi"}), chat.Options{Generate: true})
	must(t, err)
	for _, args := range [][]string{
		{"-prompt", "Hi"}, {"-prompt-file", file}, {"-prompt-file", "-"}, {"-prompt", rendered, "-raw"},
	} {
		// With -raw, generation does not stop at the token that ends an answer.
		out, errs, code := say(t, "Hi\r\n", append(args, "-model", dir, "-max-tokens", "15")...)
		want, how := hello+"\n", "stopped: "
		if slices.Contains(args, "-raw") {
			out, how = out[:min(len(out), len(hello))]+"\n", "truncated: "
		}
		if code != 0 || out != want || !strings.Contains(errs, how) || !strings.Contains(errs, "tokens/s") {
			t.Errorf("%v: exit code %d, %q: %s", args, code, out, errs)
		}
	}
	ids, err := bytesWith(t).Append(nil, hello+chat.SmolLM2.End())
	must(t, err)
	if out, errs, code := generate(t, "-model", dir, "-prompt", "Hi", "-ids"); code != 0 || out != join(ids, " ")+"\n" {
		t.Errorf("exit code %d, %q, want %v: %s", code, out, ids, errs)
	}
}

func TestTokenizePrintsTheIDs(t *testing.T) {
	dir := speaker(t)
	rendered, err := chat.SmolLM2.Render(messages([]string{"Hi\n"}), chat.Options{Generate: true})
	must(t, err)
	want, err := bytesWith(t).Append(nil, rendered)
	must(t, err)
	file := filepath.Join(t.TempDir(), "prompt")
	must(t, os.WriteFile(file, []byte("Hi\n"), 0o666))
	for _, c := range []struct {
		want []int32
		args []string
	}{
		{want, []string{"-prompt", "Hi\n"}},
		{[]int32{'H', 'i', '\n'}, []string{"-raw", "-prompt-file", file}},
		{[]int32{'H', 'i', 257}, []string{"-raw", "-prompt", "Hi<|im_start|>"}},
	} {
		out, errs, code := generate(t, append(c.args, "-model", dir, "-tokenize")...)
		if code != 0 || out != join(c.want, " ")+"\n" {
			t.Errorf("%v: exit code %d, %q, want %v: %s", c.args, code, out, c.want, errs)
		}
	}
}

// cut returns the path of a real model's tokenizer whose vocabulary is cut short.
func cut(name string) string {
	return filepath.Join("../../model/tokenizer/testdata", "cut_"+name+".json")
}

// folderWith returns a folder with a config.json and the given files.
func folderWith(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, checkpoint.WriteAtomic(filepath.Join(dir, "config.json"), func(w io.Writer) error {
		return model.WriteConfig(w, small(t, 800))
	}))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	return dir
}

func TestRealVocabulariesTokenize(t *testing.T) {
	var texts []string
	text, err := os.ReadFile("../../model/tokenizer/testdata/strings.json")
	must(t, err)
	must(t, json.Unmarshal(text, &texts))
	for _, name := range []string{"deepseek_v3", "deepseek_v2", "qwen3", "llama3_1", "smollm2"} {
		vocabulary, err := os.ReadFile(cut(name))
		must(t, err)
		var want struct{ First []int32 }
		ids, err := os.ReadFile(strings.TrimSuffix(cut(name), "json") + "ids.json")
		must(t, err)
		must(t, json.Unmarshal(ids, &want))
		dir := folderWith(t, map[string]string{tokenizer.FileName: string(vocabulary)})
		out, errs, code := generate(t, "-model", dir, "-prompt", texts[0], "-tokenize")
		if code != 0 || out != join(want.First, " ")+"\n" {
			t.Errorf("%s: exit code %d, %q, want %v: %s", name, code, out, want.First, errs)
		}
	}
}

func TestGGUFHasTokenizerAndTemplate(t *testing.T) {
	tok, err := tokenizer.Load(cut("smollm2"))
	must(t, err)
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	m, err := model.New(b, small(t, tok.Len()), 1)
	must(t, err)
	defer m.Free()
	dir := filepath.Join(t.TempDir(), "model")
	save(t, dir, m, tok, smol)
	file := filepath.Join(t.TempDir(), "model.gguf")
	must(t, model.SaveGGUF(file, m.Config, checkpoint.ParamRows(m.Params.All()), model.GGUFOptions{Type: gguf.F16,
		Metadata: metadata(t, cut("smollm2"))}))
	for _, more := range [][]string{{"-tokenize"}, {"-tokenize", "-raw"}} {
		args := append(more, "-prompt", "What is 12+3?", "-model")
		want, errs, code := generate(t, append(args, dir)...)
		out, more, other := generate(t, append(args, file)...)
		if code+other != 0 || out != want || len(strings.Fields(out)) < 5 {
			t.Errorf("%v: %q, want %q: %s%s", args, out, want, errs, more)
		}
	}
	ids, errs, code := generate(t, "-model", file, "-prompt", "Hi", "-ids", "-max-tokens", "8")
	out, more, other := generate(t, "-model", file, "-prompt", "Hi", "-max-tokens", "8")
	var list []int32
	for id := range strings.FieldsSeq(ids) {
		var n int32
		_, err := fmt.Sscan(id, &n)
		must(t, err)
		list = append(list, n)
	}
	if code+other != 0 || len(list) != 8 || out != tok.Decode(list)+"\n" {
		t.Errorf("ids %q, text %q: %s%s", ids, out, errs, more)
	}
}

// metadata returns the GGUF metadata of a tokenizer.json of SmolLM2's kind and of its chat
// template.
func metadata(t *testing.T, file string) gguf.Metadata {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var f struct {
		Model struct {
			Vocab  map[string]int32
			Merges []string
		}
		Added []struct{ ID int32 } `json:"added_tokens"`
	}
	must(t, json.Unmarshal(text, &f))
	tokens, types := make([]string, len(f.Model.Vocab)), make([]int32, len(f.Model.Vocab))
	for token, id := range f.Model.Vocab {
		tokens[id], types[id] = token, 1
	}
	for _, a := range f.Added {
		types[a.ID] = 3
	}
	return gguf.Metadata{{Key: "tokenizer.ggml.model", Value: "gpt2"}, {Key: "tokenizer.ggml.pre", Value: "smollm"},
		{Key: "tokenizer.ggml.tokens", Value: tokens}, {Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: f.Model.Merges}, {Key: "tokenizer.chat_template", Value: smol}}
}

// Models of r1zero complete problems in the vocabulary of their task; <bos> is added.
func TestTaskVocabularyCompletes(t *testing.T) {
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	m, err := model.New(b, lab.Teacher(), 1)
	must(t, err)
	defer m.Free()
	dir := filepath.Join(t.TempDir(), "model")
	must(t, lab.Save(dir, m))
	want, err := countdown.Encode("<bos>19 29 16:32")
	must(t, err)
	args := []string{"-model", dir, "-prompt", "19 29 16:32"}
	if out, errs, code := generate(t, append(args, "-tokenize")...); code != 0 || out != join(want, " ")+"\n" {
		t.Errorf("exit code %d, ids %q, want %v: %s", code, out, want, errs)
	}
	out, errs, code := generate(t, append(args, "-max-tokens", "20")...)
	if _, err := countdown.Encode(out); code != 0 || len(out) < 5 || err != nil {
		t.Errorf("exit code %d, %q, %v: %s", code, out, err, errs)
	}
}

func TestWhatTextLacksIsNamed(t *testing.T) {
	good := func(name string) string {
		text, err := os.ReadFile(cut(name))
		must(t, err)
		return string(text)
	}
	template := func(jinja string) string {
		text, err := json.Marshal(map[string]string{"chat_template": jinja})
		must(t, err)
		return string(text)
	}
	for _, c := range []struct {
		tokenizer, config string
		args              []string
		want              []string
	}{
		{good("smollm2"), template("{{ 1 }}"), nil,
			[]string{`begins "{{ 1 }}" has no native form`,
				"; -raw completes the text without a chat template, -prompt-ids takes token ids"}},
		{good("llama3_1"), template(smol), nil,
			[]string{"the tokenizer has no <|im_end|>, which ends answers of the template SmolLM2; -raw completes"}},
		{strings.Replace(good("smollm2"), "Digits", "Whitespace", 1), template(smol), nil,
			[]string{"pre_tokenizer", "is none of", "; -prompt-ids takes token ids"}},
		{good("smollm2"), template(smol), []string{"-think=false"}, nil},
		{good("smollm2"), template(smol), []string{"-think"}, []string{"prompt: chat: SmolLM2: thinking on: not supported"}},
		{good("smollm2"), template(smol), []string{"-think", "-raw"},
			[]string{"-think and -system need a model with a chat template"}},
		{good("smollm2"), "{}", []string{"-think=false"}, []string{"-think and -system need a model with a chat template"}},
	} {
		dir := folderWith(t, map[string]string{tokenizer.FileName: c.tokenizer, "tokenizer_config.json": c.config})
		out, errs, code := generate(t, append(c.args, "-model", dir, "-prompt", "Hi", "-tokenize")...)
		for _, want := range c.want {
			if code != 1 || out != "" || !strings.Contains(errs, want) {
				t.Errorf("%v: exit code %d, %q: %s, want %s", c.args, code, out, errs, want)
			}
		}
		if c.want == nil && code != 0 {
			t.Errorf("%v: exit code %d: %s", c.args, code, errs)
		}
	}
}

// Thinking is dimmed wherever the text is split into pieces.
func TestThoughtsAreDim(t *testing.T) {
	for _, c := range []struct {
		thinking   bool
		text, want string
	}{
		{false, "<think>\na\n</think>\n\nb", dim + "<think>\na\n</think>" + plain + "\n\nb"},
		{true, "a</think>b<think>c", dim + "a</think>" + plain + "b" + dim + "<think>c" + plain},
		{false, "a<b</think><thin", "a<b</think><thin"},
		{true, "", ""},
	} {
		for i := range len(c.text) + 1 {
			for j := i; j <= len(c.text); j++ {
				d := dimmer{thinking: c.thinking}
				got := d.next(c.text[:i]) + d.next(c.text[i:j]) + d.next(c.text[j:]) + d.end()
				if got != c.want {
					t.Fatalf("%q, cut at %d and %d: %q, want %q", c.text, i, j, got, c.want)
				}
			}
		}
	}
}

// SmolLM2-135M-Instruct is a real model.
func TestSmolLM2KnowsTheCapitalOfFrance(t *testing.T) {
	path := os.Getenv("AHA_SMOLLM2")
	if path == "" {
		t.Skip("AHA_SMOLLM2 is not set to a GGUF file of SmolLM2-135M-Instruct, which .ci/run fetches")
	}
	out, errs, code := generate(t, "-model", path, "-prompt", "What is the capital of France?")
	if code != 0 || out != "The capital of France is Paris.\n" || !strings.Contains(errs, "stopped: 37 prompt tokens") {
		t.Errorf("exit code %d, %q: %s", code, out, errs)
	}
}
