package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
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
		`{"ids":[1,2],"weight":[1,0]}`:               "no token after the first has a weight above 0",
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
