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
)

// asCommand makes the test binary run as eval itself.
const asCommand = "EVAL_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// folder is a checkpoint with what transformers computed for it.
const folder = "../../model/testdata/golden/qwen2_tied"

// eval runs the command with arguments.
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

// measured is what eval prints with -json.
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

// text is a sequence whose logits transformers computed, with the mean of −log p
// of its tokens.
func text(t *testing.T) (ids []int32, nats float64) {
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

// write writes ids as a file of a type.
func write(t *testing.T, kind string, ids []int32) string {
	t.Helper()
	var b bytes.Buffer
	for i, id := range ids {
		switch kind {
		case "text":
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
	ids, want := text(t)
	for _, kind := range []string{"text", "uint16", "uint32"} {
		r := measured(t, "-type", kind, write(t, kind, ids))
		if r.Version != 1 || r.Tokens != 25 || r.Context != 64 || math.Abs(r.Nats-want) > 1e-5 ||
			math.Abs(math.Log(r.Perplexity)-r.Nats) > 1e-12 || !(r.Rate > 0 && r.Seconds > 0) {
			t.Errorf("%s: %+v, want 25 tokens of %g nats", kind, r, want)
		}
	}
	out, errs, code := eval(t, "-model", filepath.Join(folder, checkpoint.SingleFile), write(t, "text", ids))
	if want := fmt.Sprintf("25 tokens in windows of 64: %.4f", want); code != 0 || !strings.HasPrefix(out, want) {
		t.Errorf("exit code %d, %q, want %q…; standard error %q", code, out, want, errs)
	}
}

func TestMeanDoesNotDependOnTheBatch(t *testing.T) {
	ids, _ := text(t)
	one, two := write(t, "text", ids), write(t, "text", ids[3:14])
	want := measured(t, "-context", "4", "-rows", "1000", one, two)
	if want.Tokens != 25+10 {
		t.Errorf("%d tokens, want 35", want.Tokens)
	}
	for _, rows := range []string{"1", "5", "9"} {
		if r := measured(t, "-context", "4", "-rows", rows, one, two); r.Nats != want.Nats || r.Tokens != want.Tokens {
			t.Errorf("-rows %s: %v, want %v", rows, r, want)
		}
	}
	// The mean is over tokens, not over windows or files.
	a, b := measured(t, "-context", "4", one), measured(t, "-context", "4", two)
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
		{[]string{}, "no token files"},
		{[]string{"-format", "q9", good}, `-format "q9", want some of f32, bf16`},
		{[]string{"-rows", "0", good}, "-rows 0, want at least 1"},
		{[]string{"-context", "65", good}, "-context 65, want 1 to max_position_embeddings, 64"},
		{[]string{"-context", "-1", good}, "-context -1, want 1 to"},
		{[]string{"-type", "json", good}, `-type "json", want text, uint16 or uint32`},
		{[]string{"-device", "tpu", good}, `-device: backend: Open("tpu")`},
		{[]string{"nowhere"}, "open nowhere: "},
		{[]string{file("1")}, "tokens: 1 tokens, want at least 2"},
		{[]string{file("1 two")}, `tokens: token 1: "two" is no token id`},
		{[]string{file("1 2 48")}, "tokens: token 2 is 48, beyond the vocabulary of 48"},
		{[]string{"-type", "uint16", good}, "tokens: 5 bytes are no whole number of tokens of 2"},
		{[]string{"-type", "uint32", file("abcde")}, "tokens: 5 bytes are no whole number of tokens of 4"},
		{[]string{"-type", "uint32", file("\xff\xff\xff\xff\x00\x00\x00\x00")}, "token 0 is 4294967295, beyond"},
	} {
		out, errs, code := eval(t, append([]string{"-model", folder}, c.args...)...)
		if code != 1 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %q, standard error %q, want %q", c.args, code, out, errs, c.want)
		}
	}
	if _, errs, code := eval(t, good); code != 1 || !strings.Contains(errs, "-model is missing") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
