package tokenizer

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// stream returns the ids from an encoder that reads ahead size bytes, and the size of its
// largest part.
func stream(tok *Tokenizer, r io.Reader, size int) (ids []int32, largest int, err error) {
	e := tok.NewEncoder(r)
	e.size = size
	for {
		part, err := e.Next()
		if err == io.EOF {
			return ids, largest, nil
		}
		if err != nil {
			return nil, 0, err
		}
		ids, largest = append(ids, part...), max(largest, len(part))
	}
}

// checkStream compares the ids of text, encoded while it is read, with those of the whole
// text.
func checkStream(t *testing.T, tok *Tokenizer, text string, size int) {
	t.Helper()
	want, wantErr := tok.Append(nil, text)
	got, _, err := stream(tok, strings.NewReader(text), size)
	if errors.Is(err, ErrUncovered) != errors.Is(wantErr, ErrUncovered) || wantErr == nil && !slices.Equal(got, want) {
		t.Errorf("%s: %q in parts of %d: ids %v, %v, want %v, %v", tok.pattern, text, size, got, err, want, wantErr)
	}
}

// streamed returns tokenizers of every pattern and with every kind of added token.
func streamed(t testing.TB) (list []*Tokenizer) {
	for _, name := range cuts {
		list = append(list, load(t, "testdata/cut_"+name+".json"))
	}
	for _, added := range [][]Added{
		{{Content: "a\nb"}, {Content: "c d"}, {Content: "好，"}},
		{{Content: " wo", LStrip: true}, {Content: "c", LStrip: true}},
		{{Content: "b", SingleWord: true}, {Content: ".c", SingleWord: true}, {Content: "\n", SingleWord: true}},
		{{Content: "好", RStrip: true}, {Content: "c", RStrip: true}, {Content: "\n", RStrip: true}},
	} {
		tok, err := NewBytes(added...)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tok)
	}
	characters, err := NewCharacters("abcdefghijklmnopqrstuvwxyz ,.\n好度，。、", Added{Content: "a b"})
	if err != nil {
		t.Fatal(err)
	}
	v := Vocabulary{Pattern: Whole, Merges: []string{"Ċ b", "a Ġ", "Ġ b", "a Ċb"}}
	for b := range 256 {
		v.Tokens = append(v.Tokens, alphabet(string([]byte{byte(b)})))
	}
	for _, merge := range v.Merges {
		v.Tokens = append(v.Tokens, strings.ReplaceAll(merge, " ", ""))
	}
	whole, err := New(v)
	if err != nil {
		t.Fatal(err)
	}
	return append(list, characters, whole)
}

func TestIDsOfStreamsAreThoseOfTheText(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	all := read[[]string](t, "strings.json")
	few := []string{"\n", "\n", " ", " ", ",", ".", "，", "。", "a", "b", "c", "d", "e", " wo", "好", "度"}
	more := append(few, "word", "'s", "\u0301", "\xff", "<L>", "<R>", "<L><R>", "\t", "\r\n", "1", "(", "일", "и", "ا",
		"cafe\u0301")
	for _, tok := range streamed(t) {
		for i := range 1500 {
			pieces := [][]string{few, more, all}[i%3]
			var text strings.Builder
			for range 1 + r.IntN(60) {
				text.WriteString(pieces[r.IntN(len(pieces))])
			}
			checkStream(t, tok, text.String(), 10+r.IntN(40))
		}
	}
}

func TestStreamsAreGivenInParts(t *testing.T) {
	text := strings.Repeat("The quick brown fox.\nIt jumps over the lazy dog, and again 好的，谢谢。\n", 1000)
	for _, name := range []string{"deepseek_v3", "deepseek_v2", "qwen3", "llama3_1", "flags"} {
		tok := load(t, "testdata/cut_"+name+".json")
		want, err := tok.Append(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		got, largest, err := stream(tok, iotest.HalfReader(strings.NewReader(text)), 1000)
		if err != nil || !slices.Equal(got, want) || largest > 1000 {
			t.Errorf("%s: %d ids of %d, parts of up to %d, error %v", name, len(got), len(want), largest, err)
		}
	}
}

func TestErrorsEndStreams(t *testing.T) {
	tok := load(t, "testdata/cut_deepseek_v3.json")
	broken := errors.New("broken")
	_, _, err := stream(tok, io.MultiReader(strings.NewReader("some text"), iotest.ErrReader(broken)), 1000)
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if ids, _, err := stream(tok, strings.NewReader(""), 1000); err != nil || len(ids) > 0 {
		t.Errorf("ids %v of no text, error %v", ids, err)
	}
	characters, err := NewCharacters("abc")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := stream(characters, strings.NewReader("abd"), 1000); !errors.Is(err, ErrUncovered) {
		t.Errorf("error %v", err)
	}
}

// TestStreamsTakeConstantMemory encodes 32 MiB of testdata or, if AHA_STREAM names a text
// file, 1 GiB by reading that file repeatedly.
func TestStreamsTakeConstantMemory(t *testing.T) {
	text, size := strings.Join(read[[]string](t, "strings.json"), "\n"), int64(32<<20)
	tok := load(t, "testdata/cut_deepseek_v3.json")
	if path := os.Getenv("AHA_STREAM"); path != "" {
		bytes, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, size = string(bytes), 1<<30
	}
	e := tok.NewEncoder(io.LimitReader(&repeated{text: text}, size))
	ids, largest := 0, uint64(0)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	for n := 0; ; n++ {
		part, err := e.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ids += len(part)
		if n%64 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			largest = max(largest, m.HeapAlloc)
		}
	}
	t.Logf("%d ids of %d bytes, %d bytes of memory beside the vocabulary and the text", ids, size, int64(largest-before))
	if largest > before+16<<20 {
		t.Errorf("memory grew from %d to %d bytes", before, largest)
	}
}

// repeated reads a text again and again.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(b []byte) (int, error) {
	if r.at == len(r.text) {
		r.at = 0
	}
	n := copy(b, r.text[r.at:])
	r.at += n
	return n, nil
}

func FuzzStream(f *testing.F) {
	toks := streamed(f)
	for i, text := range read[[]string](f, "strings.json") {
		f.Add(text, uint8(i))
	}
	f.Add("ab\ncd ef.gh，好 度。度", uint8(1))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		for _, tok := range toks {
			checkStream(t, tok, text, 1+int(size))
		}
	})
}
