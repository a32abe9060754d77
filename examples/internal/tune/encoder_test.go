package tune

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// smol is the chat template of SmolLM2.
var smol = func() string {
	text, err := os.ReadFile("../../../model/tokenizer/chat/testdata/SmolLM2.jinja")
	if err != nil {
		panic(err)
	}
	return string(text)
}()

// chatFolder returns a folder with the tokenizer of a real model, whose vocabulary is cut
// short, and a chat template, if that is not "".
func chatFolder(t *testing.T, vocabulary, template string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../../../model/tokenizer/testdata/cut_" + vocabulary + ".json")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, tokenizer.FileName), text, 0o666))
	if template != "" {
		must(t, os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o666))
	}
	return dir
}

// Only the assistant's messages, with the tokens that end them, have weight 1.
func TestAnswersAreLearned(t *testing.T) {
	dir := chatFolder(t, "smollm2", smol)
	e, err := NewEncoder(dir)
	must(t, err)
	messages := []chat.Message{{Role: chat.System, Content: "s"}, {Role: chat.User, Content: "1+1?"},
		{Role: chat.Assistant, Content: "2 😀"}, {Role: chat.User, Content: "and?"},
		{Role: chat.Assistant, Content: "\nno"}}
	ids, weight, err := e.Chat(messages, chat.Options{})
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
		t.Errorf("the tokens of weight 1 are %q of %q, want %q of %q", learned, tok.Decode(ids), want, text)
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
		{"smollm2", "", "chats need the model's chat template (token ids do not)"},
		{"smollm2", "{{ 1 }}", "has no native form"},
		{"llama3_1", smol, "the tokenizer has no <|im_end|>"},
	} {
		_, err := NewEncoder(chatFolder(t, c.vocabulary, c.template))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: error %v, want %s", c.vocabulary, c.template, err, c.want)
		}
	}
	e, err := NewEncoder(chatFolder(t, "smollm2", smol))
	must(t, err)
	if _, _, err := e.Chat([]chat.Message{{Role: "robot"}}, chat.Options{}); err == nil {
		t.Error("no error for an unknown role")
	}
}
