package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
	"github.com/aha-go/aha/rl"
)

func TestReadData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.jsonl")
	write := func(text string) { must(t, os.WriteFile(path, []byte(text), 0o666)) }
	write(`{"prompt":[1,2],"chosen":[3,4],"rejected":[5]}

{"prompt":[1],"chosen":[2],"rejected":[3],"weight":2.5}
{"prompt":[1],"chosen":[2],"rejected":[2]}
{"prompt":[1,2,3],"chosen":[2],"rejected":[3,4]}
`)
	c := model.Config{VocabSize: 10}
	d, err := readData(path, "", c, 3)
	must(t, err)
	want := []rl.Pair{
		{Prompt: []int32{1, 2}, Chosen: []int32{3, 4}, Rejected: []int32{5}},
		{Prompt: []int32{1}, Chosen: []int32{2}, Rejected: []int32{3}, Weight: 2.5},
	}
	if !reflect.DeepEqual(d.train, want) || d.long != 1 || d.equal != 1 {
		t.Errorf("%+v", d)
	}
	for text, want := range map[string]string{
		`{"prompt":[1],"chosen":[2]}`:                                 "line 1: want prompt, chosen and rejected",
		"\n" + `{"prompt":[1],"chosen":[2],"rejected":[10]}`:          "line 2: rejected: token 0 is 10, beyond",
		`{"prompt":[-1],"chosen":[2],"rejected":[1]}`:                 "prompt: token 0 is -1",
		`{"prompt":[],"chosen":[2],"rejected":[1]}`:                   "prompt has no tokens",
		`{"prompt":[1],"chosen":[],"rejected":[1]}`:                   "chosen has no tokens",
		`{"prompt":[1],"chosen":[2],"rejected":[1],"weight":0}`:       "weight is 0, want more than 0",
		`{"prompt":[1],"chosen":"a","rejected":[1]}`:                  "prompt: want messages, or prompt, chosen",
		`{"prompt":[1],"chosen":[2],"rejected":[1]`:                   "line 1: unexpected end of JSON",
		`{"prompt":"a","chosen":"b","rejected":"c"}`:                  "texts need the model's tokenizer",
		`{"prompt":[{"role":"user"}],"chosen":[],"rejected":[]}`:      "chats need the model's tokenizer",
		`{"chosen":[{"role":"user"}],"rejected":[{"role":"system"}]}`: "there is no prompt",
	} {
		write(text)
		if _, err := readData(path, "", c, 3); err == nil || !strings.Contains(err.Error(), path+": line ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// smolFolder returns a folder with SmolLM2's chat template and its tokenizer, whose
// vocabulary is cut short, and that tokenizer.
func smolFolder(t *testing.T) (dir string, tokens *tokenizer.Tokenizer) {
	t.Helper()
	dir = t.TempDir()
	for from, to := range map[string]string{
		"../../model/tokenizer/testdata/cut_smollm2.json":   tokenizer.FileName,
		"../../model/tokenizer/chat/testdata/SmolLM2.jinja": "chat_template.jinja",
	} {
		text, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, to), text, 0o666))
	}
	tokens, err := tokenizer.Load(dir)
	must(t, err)
	return dir, tokens
}

// The prompt of a chat is rendered up to where the model's answer begins, and a completion
// ends with the token that ends the answer, whether the line has a prompt or not.
func TestPairsOfChats(t *testing.T) {
	dir, tokens := smolFolder(t)
	user := func(text string) chat.Message { return chat.Message{Role: chat.User, Content: text} }
	says := func(text string) chat.Message { return chat.Message{Role: chat.Assistant, Content: text} }
	for _, prompt := range [][]chat.Message{
		{user("1+1?")},
		{{Role: chat.System, Content: "s"}, user("1+1?"), says("3"), user("no")},
	} {
		chosen, rejected := []chat.Message{says("2")}, []chat.Message{says("sorry"), user("and?"), says("4")}
		whole := func(completion []chat.Message) []chat.Message { return slices.Concat(prompt, completion) }
		for _, fields := range []map[string]any{
			{"prompt": prompt, "chosen": chosen, "rejected": rejected},
			{"chosen": whole(chosen), "rejected": whole(rejected)},
		} {
			row, err := json.Marshal(fields)
			must(t, err)
			p, err := (&language{path: dir, end: -1}).parse(row)
			must(t, err)
			want, err := chat.SmolLM2.Render(prompt, chat.Options{Generate: true})
			must(t, err)
			if got := tokens.Decode(p.Prompt); got != want {
				t.Errorf("the prompt is %q, want %q", got, want)
			}
			if got := tokens.Decode(p.Chosen); got != "2<|im_end|>" {
				t.Errorf("the chosen completion is %q", got)
			}
			all, err := chat.SmolLM2.Render(whole(rejected), chat.Options{})
			must(t, err)
			if got := tokens.Decode(p.Rejected); want+got+"\n" != all {
				t.Errorf("the rejected completion is %q, want the end of %q", got, all)
			}
		}
	}
	row, err := json.Marshal(map[string]any{"prompt": []chat.Message{user("a")}, "chosen": []chat.Message{user("b")},
		"rejected": []chat.Message{says("c")}})
	must(t, err)
	_, err = (&language{path: dir}).parse(row)
	if err == nil || !strings.Contains(err.Error(), "chosen: a completion must begin") {
		t.Errorf("error is %v", err)
	}
}

// The end-of-text token is appended to completions that lack it, and only to these.
func TestPairsOfTexts(t *testing.T) {
	dir, tokens := smolFolder(t)
	end, ok := tokens.ID("<|endoftext|>")
	if !ok {
		t.Fatal("no <|endoftext|>")
	}
	l := &language{path: dir, end: end}
	p, err := l.parse([]byte(`{"prompt":"1 + 1 =","chosen":" 2","rejected":" 3<|endoftext|>"}`))
	must(t, err)
	for name, c := range map[string]struct {
		ids  []int32
		want string
	}{
		"prompt":   {p.Prompt, "1 + 1 ="},
		"chosen":   {p.Chosen, " 2<|endoftext|>"},
		"rejected": {p.Rejected, " 3<|endoftext|>"},
	} {
		if got := tokens.Decode(c.ids); got != c.want {
			t.Errorf("%s is %q, want %q", name, got, c.want)
		}
	}
	if _, err := (&language{path: dir, end: -1}).parse([]byte(`{"prompt":"a","chosen":"b","rejected":"c"}`)); err == nil ||
		!strings.Contains(err.Error(), "no end-of-text token") {
		t.Errorf("error is %v", err)
	}
}
