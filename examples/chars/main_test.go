package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model/tokenizer"
)

// numbers writes a text of n lines such as "one: 1", in a repeating order, and returns its path.
func numbers(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	words := strings.Fields("zero one two three four five six seven eight nine")
	for i := range n {
		fmt.Fprintf(&b, "%s: %d\n", words[i*7%10], i*7%10)
	}
	path := filepath.Join(t.TempDir(), "numbers.txt")
	if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// needsKernels skips a test that trains if the backend has no assembly kernels, or under -short.
func needsKernels(t *testing.T) {
	t.Helper()
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if path := backend.Path(b); testing.Short() || path == "portable" {
		t.Skipf("takes 10 s of CPU with assembly kernels: short %v, kernels %s", testing.Short(), path)
	}
}

func TestHeldOutLossFalls(t *testing.T) {
	needsKernels(t)
	var out strings.Builder
	loss, err := run(t.Context(), &out, options{text: numbers(t, 2000), out: t.TempDir(), steps: 20, seed: 1})
	t.Logf("seed 1\n%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	// The text has 20 different characters, so the loss starts at ln 20 = 3.0.
	if !(0 < loss && loss < 2.2) {
		t.Errorf("held-out loss %.3f", loss)
	}
	for _, want := range []string{"different characters", "step 20: loss ", "held-out loss: ", "sample "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output has no %q", want)
		}
	}
}

// stopper is a writer that calls cancel when the text at is written to it.
type stopper struct {
	at     string
	cancel func()
}

func (s stopper) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte(s.at)) {
		s.cancel()
	}
	return len(text), nil
}

func TestStoppedRunContinuesWithTheSameBits(t *testing.T) {
	needsKernels(t)
	o := options{text: numbers(t, 600), out: t.TempDir(), steps: 6, seed: 2}
	var whole, rest strings.Builder
	want, err := run(t.Context(), &whole, o)
	if err != nil {
		t.Fatal(err)
	}
	again := o
	again.out = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := run(ctx, stopper{"step 3:", cancel}, again); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped at step 3: %v", err)
	}
	if _, err := os.Stat(filepath.Join(again.out, "model")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stopped run left a finished model: %v", err)
	}
	got, err := run(t.Context(), &rest, again)
	if err != nil {
		t.Fatal(err)
	}
	if got != want || strings.Contains(rest.String(), "step 3:") || !strings.Contains(rest.String(), "step 4:") {
		t.Errorf("held-out loss %v after a stop, %v without\n%s", got, want, rest.String())
	}
	for _, name := range []string{"model.safetensors", "tokenizer.json"} {
		if read(t, again.out, "model", name) != read(t, o.out, "model", name) {
			t.Errorf("%s differs from the undisturbed run's", name)
		}
	}
	end := func(s string) string { return s[strings.Index(s, "held-out loss"):] }
	if end(rest.String()) != end(whole.String()) {
		t.Errorf("the sample differs:\n%s\n%s", rest.String(), whole.String())
	}
	if tok, err := tokenizer.Load(filepath.Join(o.out, "model")); err != nil {
		t.Error(err)
	} else if ids, err := tok.Encode("one: 1\n"); err != nil || tok.Decode(ids) != "one: 1\n" {
		t.Errorf("the model's tokenizer gives %v, %v", ids, err)
	}

	// The folder's checkpoint is of another number of steps, or of another text.
	other := o
	other.steps = 7
	if _, err := run(t.Context(), io.Discard, other); err == nil || !strings.Contains(err.Error(), "steps: 6") {
		t.Errorf("other steps: %v", err)
	}
	other = o
	other.text = numbers(t, 601)
	if _, err := run(t.Context(), io.Discard, other); err == nil || !strings.Contains(err.Error(), "text_sha256") {
		t.Errorf("another text: %v", err)
	}
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBadInputIsNamedAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		o    options
		want string
	}{
		{options{steps: 1}, "-text: want the path of a text file"},
		{options{text: filepath.Join(dir, "none.txt"), steps: 1}, "none.txt"},
		{options{text: dir, steps: 1}, dir},
		{options{text: file("empty.txt", ""), steps: 1}, "empty.txt: 0 characters"},
		{options{text: file("short.txt", strings.Repeat("x", 2560)), steps: 1},
			"short.txt: 2560 characters, want at least 2570"},
		{options{text: file("latin1.txt", strings.Repeat("caf\xe9 ", 1000)), steps: 1}, "latin1.txt: "},
		{options{text: file("good.txt", strings.Repeat("good ", 1000))}, "-steps 0, want a positive number"},
	} {
		c.o.out = filepath.Join(dir, "out")
		_, err := run(t.Context(), io.Discard, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
		if _, err := os.Stat(c.o.out); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: the output folder was made", c.want)
		}
	}
}

func TestWindowsPredictEachCharacterOnce(t *testing.T) {
	ids := make([]int32, 2*window+2)
	for i := range ids {
		ids[i] = int32(i)
	}
	seqs := windows(ids)
	if len(seqs) != 2 {
		t.Fatalf("%d windows, want 2 (one character is left over)", len(seqs))
	}
	next := int32(1)
	for _, s := range seqs {
		if s.Rows() != window {
			t.Errorf("a window predicts %d characters", s.Rows())
		}
		for _, id := range s.IDs[1:] {
			if id != next {
				t.Fatalf("%d is predicted, want %d", id, next)
			}
			next++
		}
	}
}
