package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/tokenizer"
)

// asCommand is an environment variable: if it is set, the test binary runs as the command
// eval.
const asCommand = "EVAL_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// folder is a model folder with logits that transformers computed.
const folder = "../../model/testdata/golden/qwen2_tied"

// eval runs the command with args.
func eval(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		return out.String(), errs.String(), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// measured runs eval -json and returns its result.
func measured(t *testing.T, args ...string) (r result) {
	t.Helper()
	out, errs, code := eval(t, append([]string{"-model", folder, "-json"}, args...)...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, errs)
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || d.More() {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return r
}

// sequence returns a sequence whose logits transformers computed, and the mean of
// −log p over its tokens.
func sequence(t *testing.T) (ids []int32, nats float64) {
	t.Helper()
	r, err := checkpoint.Open(filepath.Join(folder, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := func(name string, into any) {
		data, err := r.Read(name)
		if err == nil {
			err = binary.Read(bytes.NewReader(data), binary.LittleEndian, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const length, vocab = 26, 48
	ids = make([]int32, length)
	read("ids.0", ids)
	logits, _ := r.Lookup("logits")
	all := make([]float64, logits.Shape[0]*logits.Shape[1])
	read("logits", all)
	for i, id := range ids[1:] {
		row := all[i*vocab:][:vocab]
		sum := 0.0
		for _, z := range row {
			sum += math.Exp(z)
		}
		nats += math.Log(sum) - row[id]
	}
	return ids, nats / (length - 1)
}

// write writes ids to a file of type kind and returns its path.
func write(t *testing.T, kind string, ids []int32) string {
	t.Helper()
	var b bytes.Buffer
	for i, id := range ids {
		switch kind {
		case "ids":
			fmt.Fprintf(&b, "%d%c", id, " \n\t"[i%3])
		case "uint16":
			binary.Write(&b, binary.LittleEndian, uint16(id))
		case "uint32":
			binary.Write(&b, binary.LittleEndian, id)
		}
	}
	file := filepath.Join(t.TempDir(), "ids")
	if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPerplexityIsThatOfTransformers(t *testing.T) {
	ids, want := sequence(t)
	for _, kind := range []string{"ids", "uint16", "uint32"} {
		r := measured(t, "-type", kind, write(t, kind, ids))
		if r.Version != 1 || r.Tokens != 25 || r.Context != 64 || math.Abs(r.Nats-want) > 1e-5 ||
			math.Abs(math.Log(r.Perplexity)-r.Nats) > 1e-12 || !(r.Rate > 0 && r.Seconds > 0) {
			t.Errorf("%s: %+v, want 25 tokens of %g nats", kind, r, want)
		}
	}
	out, errs, code := eval(t, "-type", "ids", "-model", filepath.Join(folder, checkpoint.SingleFile),
		write(t, "ids", ids))
	if want := fmt.Sprintf("25 tokens in windows of 64: %.4f", want); code != 0 || !strings.HasPrefix(out, want) {
		t.Errorf("exit code %d, %q, want %q…; standard error %q", code, out, want, errs)
	}
}

// Texts give the same result as their token ids, BOS included.
func TestTextsAreEncoded(t *testing.T) {
	const bos = 3
	tok, err := tokenizer.New(tokenizer.Vocabulary{Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"},
		Pattern: tokenizer.DeepSeekV3, Added: []tokenizer.Added{{ID: bos, Content: "<bos>", Special: true}},
		Prefix: []int32{bos}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, name := range []string{"config.json", checkpoint.SingleFile} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		put(name, data)
	}
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	one := put("one", []byte("3 2 1 0"))
	two := put("two", []byte("3 0 0"))
	want := measured(t, "-type", "ids", one, two)
	text, lines := put("one.txt", []byte("abba")), put("two.jsonl", []byte(`{"text": "aa", "id": 7}`+"\n\n"))
	for _, args := range [][]string{{text, lines}, {put("all.jsonl", []byte(`{"text": "abba"}`+"\n"+`{"text": "aa"}`))},
		{"-type", "text", text, put("two.md", []byte("aa"))}} {
		if r := measured(t, append([]string{"-model", dir}, args...)...); r.Nats != want.Nats || r.Tokens != 5 {
			t.Errorf("%v: %v, want %v", args, r, want)
		}
	}
	for want, path := range map[string]string{
		`bad.jsonl: line 2: there is no "text"`:     put("bad.jsonl", []byte("{\"text\": \"ab\"}\n{}\n")),
		"cut.jsonl: line 1: unexpected end of JSON": put("cut.jsonl", []byte(`{"text": "ab`)),
		"none.jsonl: no lines":                      put("none.jsonl", []byte("\n\n")),
		"x.txt: tokenizer: byte 0x78":               put("x.txt", []byte("abx")),
		"empty.txt: 1 tokens, want at least 2":      put("empty.txt", nil),
	} {
		if _, errs, code := eval(t, "-model", dir, path); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d: %s, want %s", path, code, errs, want)
		}
	}
	if _, errs, code := eval(t, "-model", folder, text); code != 1 || !strings.Contains(errs, "text needs the model's") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestMeanDoesNotDependOnTheBatch(t *testing.T) {
	ids, _ := sequence(t)
	one, two := write(t, "ids", ids), write(t, "ids", ids[3:14])
	want := measured(t, "-type", "ids", "-context", "4", "-rows", "1000", one, two)
	if want.Tokens != 25+10 {
		t.Errorf("%d tokens, want 35", want.Tokens)
	}
	for _, rows := range []string{"1", "5", "9"} {
		r := measured(t, "-type", "ids", "-context", "4", "-rows", rows, one, two)
		if r.Nats != want.Nats || r.Tokens != want.Tokens {
			t.Errorf("-rows %s: %v, want %v", rows, r, want)
		}
	}
	// The result is the mean over tokens, not over windows or files.
	a, b := measured(t, "-type", "ids", "-context", "4", one), measured(t, "-type", "ids", "-context", "4", two)
	if mean := (25*a.Nats + 10*b.Nats) / 35; math.Abs(mean-want.Nats) > 1e-12 {
		t.Errorf("%g nats of both files, want %g", want.Nats, mean)
	}
}

func TestEveryTokenIsPredictedOnce(t *testing.T) {
	ids := make([]int32, 12)
	for i := range ids {
		ids[i] = int32(i)
	}
	for length := 1; length <= 13; length++ {
		next := int32(1)
		for _, q := range windows(ids, length) {
			if q.Rows() > length || q.IDs[0] != next-1 {
				t.Errorf("length %d: window %v", length, q.IDs)
			}
			for _, id := range q.IDs[1:] {
				if id != next {
					t.Errorf("length %d: %d is predicted, want %d", length, id, next)
				}
				next++
			}
		}
		if next != 12 {
			t.Errorf("length %d: the last prediction is of %d", length, next-1)
		}
	}
}

func TestBadFlagsAndFilesAreNamed(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("1 2 3")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "no files: name them"},
		{[]string{"-format", "q9", good}, `-format "q9", want some of f32, bf16`},
		{[]string{"-rows", "0", good}, "-rows 0, want at least 1"},
		{[]string{"-context", "65", good}, "-context 65, want 1 to max_position_embeddings, 64"},
		{[]string{"-context", "-1", good}, "-context -1, want 1 to"},
		{[]string{"-type", "json", good}, `-type "json", want one of ids, uint16, uint32, text, jsonl`},
		{[]string{"-type", "ids", "-device", "tpu", good}, `-device: backend: Open("tpu")`},
		{[]string{"nowhere.txt"}, "open nowhere.txt: "},
		{[]string{good}, "tokens: -type is missing, and the name ends neither in .txt nor in .jsonl"},
		{[]string{"-type", "ids", file("1")}, "tokens: 1 tokens, want at least 2"},
		{[]string{"-type", "ids", file("1 two")}, `tokens: token 1: "two" is not a token id`},
		{[]string{"-type", "ids", file("1 2 48")}, "tokens: token 2 is 48, beyond the vocabulary of 48"},
		{[]string{"-type", "uint16", good}, "tokens: 5 bytes, want a multiple of 2"},
		{[]string{"-type", "uint32", file("abcde")}, "tokens: 5 bytes, want a multiple of 4"},
		{[]string{"-type", "uint32", file("\xff\xff\xff\xff\x00\x00\x00\x00")}, "token 0 is 4294967295, beyond"},
	} {
		out, errs, code := eval(t, append([]string{"-model", folder}, c.args...)...)
		if code != 1 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %q, standard error %q, want %q", c.args, code, out, errs, c.want)
		}
	}
	const adapter, want = "../../model/lora/testdata/qwen2_tied", `merge it into its base model, "qwen2_tied"`
	if _, errs, code := eval(t, "-model", adapter, "-type", "ids", good); code != 1 || !strings.Contains(errs, want) {
		t.Errorf("exit code %d: %s, want %s", code, errs, want)
	}
	if _, errs, code := eval(t, good); code != 1 || !strings.Contains(errs, "-model is missing") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
