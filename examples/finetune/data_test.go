package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

func TestReadData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.jsonl")
	write := func(text string) { must(t, os.WriteFile(path, []byte(text), 0o666)) }
	write(`{"ids":[1,2,3],"weight":[1,0,0.5]}

{"ids":[4,5]}
{"ids":[1,2,3,4,5]}
`)
	d, err := readData(path, "", 10, 3)
	must(t, err)
	want := []model.Sequence{{IDs: []int32{1, 2, 3}, Weight: []float32{0, 0.5}}, {IDs: []int32{4, 5}}}
	if !reflect.DeepEqual(d.train, want) || d.long != 1 {
		t.Errorf("%+v", d)
	}
	for text, want := range map[string]string{
		`{"ids":[1]}`:                                "line 1: 1 tokens, want at least 2",
		"\n" + `{"ids":[1,10]}`:                      "line 2: token 1 is 10, beyond the vocabulary of 10",
		`{"ids":[1,-2]}`:                             "token 1 is -2",
		`{"ids":[1,2],"weight":[1]}`:                 "1 weights for 2 ids",
		`{"ids":[1,2],"weight":[1,0]}`:               "no token after the first is to be learned",
		`{"ids":[1,2],"weight":[1,-1]}`:              "weight 1 is -1, want 0 to 1",
		`{"text":"x"}`:                               "want ids, messages, or question and answer",
		`{"ids":[1,2],"messages":[{"role":"user"}]}`: "want ids, messages, or question and answer",
		`{"ids":[1,2]`:                               "line 1: unexpected end of JSON",
		`{"question":"1+1?","answer":"2"}`:           "chats need the model's tokenizer",
	} {
		write(text)
		if _, err := readData(path, "", 10, 3); err == nil || !strings.Contains(err.Error(), path+": line ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestParseEncodesChats(t *testing.T) {
	var got []chat.Message
	tools := 0
	var encode encoder = func(messages []chat.Message, o chat.Options) ([]int32, []float32, error) {
		got, tools = messages, len(o.Tools)
		return []int32{1, 2, 3, 4}, []float32{0, 0, 1, 1}, nil
	}
	for text, want := range map[string][]chat.Message{
		`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"tools":[{}]}`: {
			{Role: chat.System, Content: "s"}, {Role: chat.User, Content: "u"}},
		`{"question":"q","answer":"a"}`: {{Role: chat.User, Content: "q"}, {Role: chat.Assistant, Content: "a"}},
	} {
		q, err := parse([]byte(text), "", &encode)
		if err != nil || !reflect.DeepEqual(got, want) || tools != strings.Count(text, "tools") ||
			!slices.Equal(q.Weight, []float32{0, 1, 1}) {
			t.Errorf("%s: %v, %v, %v", text, got, q, err)
		}
	}
}

// smol is the chat template of SmolLM2.
var smol = func() string {
	text, err := os.ReadFile("../../model/tokenizer/chat/testdata/SmolLM2.jinja")
	if err != nil {
		panic(err)
	}
	return string(text)
}()

// chatFolder is a folder with the tokenizer of a real model, cut short, and a template.
func chatFolder(t *testing.T, vocabulary, template string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../../model/tokenizer/testdata/cut_" + vocabulary + ".json")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, tokenizer.FileName), text, 0o666))
	if template != "" {
		must(t, os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o666))
	}
	return dir
}

// What the assistant says is learned, with the token that ends it, and nothing else.
func TestAnswersAreLearned(t *testing.T) {
	dir := chatFolder(t, "smollm2", smol)
	encode, err := newEncoder(dir)
	must(t, err)
	messages := []chat.Message{{Role: chat.System, Content: "s"}, {Role: chat.User, Content: "1+1?"},
		{Role: chat.Assistant, Content: "2 😀"}, {Role: chat.User, Content: "and?"},
		{Role: chat.Assistant, Content: "\nno"}}
	ids, weight, err := encode(messages, chat.Options{})
	must(t, err)
	tok, err := tokenizer.Load(dir)
	must(t, err)
	learned := ""
	for i, id := range ids {
		if weight[i] == 1 {
			learned += tok.Decode([]int32{id})
		} else if weight[i] != 0 {
			t.Errorf("weight %g of token %d", weight[i], i)
		}
	}
	text, err := chat.SmolLM2.Render(messages, chat.Options{})
	must(t, err)
	if want := "2 😀<|im_end|>\nno<|im_end|>"; learned != want || tok.Decode(ids) != text {
		t.Errorf("%q is learned of %q, want %q of %q", learned, tok.Decode(ids), want, text)
	}
	prompt, err := chat.SmolLM2.Render(messages[:2], chat.Options{Generate: true})
	must(t, err)
	first, err := tok.Append(nil, prompt)
	must(t, err)
	if n := slices.Index(weight, 1); !slices.Equal(ids[:n], first) {
		t.Errorf("the first answer follows %v, its prompt is %v", ids[:n], first)
	}
}

func TestWhatChatsLackIsNamed(t *testing.T) {
	for _, c := range []struct{ vocabulary, template, want string }{
		{"smollm2", "", "chats need the model's chat template, ids do not"},
		{"smollm2", "{{ 1 }}", "has no native form"},
		{"llama3_1", smol, "the tokenizer has no <|im_end|>"},
	} {
		_, err := newEncoder(chatFolder(t, c.vocabulary, c.template))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: error %v, want %s", c.vocabulary, c.template, err, c.want)
		}
	}
	encode, err := newEncoder(chatFolder(t, "smollm2", smol))
	must(t, err)
	if _, _, err := encode([]chat.Message{{Role: "robot"}}, chat.Options{}); err == nil {
		t.Error("no error of a role that is not there")
	}
}

func TestTheSeedChoosesWhatIsHeldOut(t *testing.T) {
	read := func(seed uint64) *dataset {
		d, err := readData(writeData(t), "", 48, 64)
		must(t, err)
		must(t, d.split(0.25, seed))
		return d
	}
	d := read(1)
	if len(d.held) != 15 || len(d.train) != 45 {
		t.Fatalf("%d held out, %d to train on", len(d.held), len(d.train))
	}
	other := read(2)
	if reflect.DeepEqual(d.held, other.held) {
		t.Error("the seed does not choose what is held out")
	}
}
