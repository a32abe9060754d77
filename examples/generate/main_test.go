package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/checkpoint"
)

// asCommand is an environment variable: if it is set, the test binary runs as the command
// generate.
const asCommand = "GENERATE_TEST_AS_COMMAND"

// shared is a folder for files that several tests use.
var shared string

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		os.Exit(0)
	}
	var err error
	if shared, err = os.MkdirTemp("", "generate"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(shared)
	os.Exit(code)
}

// folder is a model folder with results that transformers computed.
const folder = "../../model/testdata/golden/deepseek_v2_lite"

// generate runs the command with args.
func generate(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return say(t, "", args...)
}

// say runs the command with args and the standard input in.
func say(t *testing.T, in string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(in), &out, &errs
	err = c.Run()
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		return out.String(), errs.String(), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// expected returns a tensor that transformers computed, as elements of type T.
func expected[T int32 | float64](t *testing.T, name string) []T {
	t.Helper()
	r, err := checkpoint.Open(filepath.Join(folder, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := r.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	var zero T
	list := make([]T, len(data)/binary.Size(zero))
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, list); err != nil {
		t.Fatal(err)
	}
	return list
}

// prompt returns the prompt of the expected greedy ids, as the value of -prompt-ids, and its
// length.
func prompt(t *testing.T) (string, int) {
	ids := expected[int32](t, "ids.0")[:5]
	return join(ids, ","), len(ids)
}

func join(ids []int32, by string) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(ids), "[]"), " ", by)
}

func TestGreedyIDsAreThoseOfTransformers(t *testing.T) {
	ids, _ := prompt(t)
	want := expected[int32](t, "greedy")
	args := []string{"-prompt-ids", ids, "-max-tokens", fmt.Sprint(len(want)), "-model"}
	for _, path := range []string{folder, filepath.Join(folder, checkpoint.SingleFile)} {
		out, errs, code := generate(t, append(slices.Clone(args), path, "-ids")...)
		if code != 0 || out != join(want, " ")+"\n" {
			t.Errorf("%s: exit code %d, %q, want ids %v; standard error %q", path, code, out, want, errs)
		}
	}
	// By default the number of new tokens is limited by the context.
	out, errs, code := generate(t, "-model", folder, "-prompt-ids", ids, "-ids")
	if n := len(strings.Fields(out)); code != 0 || n != 64-5 {
		t.Errorf("exit code %d, %d ids, want 59; standard error %q", code, n, errs)
	}
	out, errs, code = generate(t, append(slices.Clone(args), folder)...)
	if code != 0 || out != join(want, "\n")+"\n" || !strings.Contains(errs, fmt.Sprintf("%d new tokens", len(want))) ||
		!strings.Contains(errs, "tokens/s") {
		t.Errorf("exit code %d, lines %q, want ids %v; standard error %q", code, out, want, errs)
	}
}

func TestLogProbsAreOfThePlainSoftmax(t *testing.T) {
	ids, n := prompt(t)
	for _, flags := range [][]string{{"-temperature", "0"}, {"-temperature", "0.4", "-top-p", "0.7", "-seed", "3"}} {
		file := filepath.Join(t.TempDir(), "logprobs.jsonl")
		out, errs, code := generate(t, append([]string{"-model", folder, "-prompt-ids", ids, "-max-tokens", "3", "-ids",
			"-logprobs", file}, flags...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", flags, code, errs)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var printed []int32
		var first scored
		for line := range strings.Lines(string(data)) {
			var x scored
			d := json.NewDecoder(strings.NewReader(line))
			d.DisallowUnknownFields()
			if err := d.Decode(&x); err != nil {
				t.Fatalf("%v: %v: %s", flags, err, line)
			}
			if printed = append(printed, x.ID); len(printed) == 1 {
				first = x
			}
		}
		if join(printed, " ")+"\n" != out {
			t.Errorf("%v: ids %v in the file, %q printed", flags, printed, out)
		}
		logits := expected[float64](t, "logits")
		row := logits[(n-1)*48:][:48]
		sum := 0.0
		for _, z := range row {
			sum += math.Exp(z)
		}
		if want := row[first.ID] - math.Log(sum); math.Abs(first.LogProb-want) > 1e-4 {
			t.Errorf("%v: log-probability %g of token %d, want %g", flags, first.LogProb, first.ID, want)
		}
	}
}

func TestEveryFormatGenerates(t *testing.T) {
	ids, _ := prompt(t)
	outs := map[string]bool{}
	for _, format := range []string{"f32", "bf16", "fp8", "q8", "q4"} {
		out, errs, code := generate(t, "-model", folder, "-prompt-ids", ids, "-max-tokens", "24", "-format", format, "-ids")
		if code != 0 || len(strings.Fields(out)) != 24 {
			t.Errorf("%s: exit code %d, %q: %s", format, code, out, errs)
		}
		outs[out] = true
	}
	if len(outs) < 2 { // rounding to 4 bits changes the most likely tokens
		t.Errorf("all formats gave %v", outs)
	}
}

func TestSeedDecidesTheDraws(t *testing.T) {
	ids, _ := prompt(t)
	draw := func(seed string) string {
		out, errs, code := generate(t, "-model", folder, "-prompt-ids", ids, "-temperature", "1.5", "-seed", seed, "-ids",
			"-max-tokens", "20")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		return out
	}
	if one, two := draw("1"), draw("2"); one == two || one != draw("1") {
		t.Errorf("seed 1 gave %q, seed 2 %q, seed 1 again %q", one, two, draw("1"))
	}
}

func TestGenerationConfigDecidesTheEnd(t *testing.T) {
	ids, _ := prompt(t)
	want := expected[int32](t, "greedy")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	end := slices.Index(want, want[6]) + 1
	for text, n := range map[string]int{
		fmt.Sprintf(`{"eos_token_id": [46, %d], "do_sample": true}`, want[6]): end,
		fmt.Sprintf(`{"eos_token_id": %d}`, want[6]):                          end,
		`{"eos_token_id": null}`:                                              len(want),
	} {
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		out, errs, code := generate(t, "-model", dir, "-prompt-ids", ids, "-max-tokens", fmt.Sprint(len(want)), "-ids")
		if code != 0 || out != join(want[:n], " ")+"\n" {
			t.Errorf("%s: exit code %d, %q, want the first %d of %v; standard error %q", text, code, out, n, want, errs)
		}
	}
	for text, message := range map[string]string{
		`{"eos_token_id": 48}`:    "generation_config.json: eos_token_id 48 is beyond the vocabulary of 48",
		`{"eos_token_id": "end"}`: "generation_config.json: ",
	} {
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := generate(t, "-model", dir, "-prompt-ids", ids); code != 1 || out != "" ||
			!strings.Contains(errs, message) {
			t.Errorf("%s: exit code %d, %q: %s", text, code, out, errs)
		}
	}
}

func TestWithoutEOSItSaysSo(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte(`"eos_token_id": 1`), []byte(`"eos_token_id": null`), 1)
	if bytes.Equal(text, changed) {
		t.Fatalf("no eos_token_id 1 in\n%s", text)
	}
	if err := os.WriteFile(path, changed, 0o666); err != nil {
		t.Fatal(err)
	}
	out, errs, code := generate(t, "-model", dir, "-prompt-ids", "3", "-ids", "-max-tokens", "2")
	if code != 0 || len(strings.Fields(out)) != 2 || !strings.Contains(errs, "no eos_token_id in "+dir) {
		t.Errorf("exit code %d, %q: %s", code, out, errs)
	}
}

// Unknown keys of config.json and unknown tensors are reported. The module of multi-token
// prediction, which generation does not use, is not reported.
func TestWhatTheModelDoesNotHaveIsReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../model/testdata/golden/deepseek_v3_mtp")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := generate(t, "-model", dir, "-prompt-ids", "3", "-max-tokens", "1"); code != 0 ||
		strings.Contains(errs, "left out") || strings.Contains(errs, "not there") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("{"), []byte(`{"fancy_attention": true,`), 1)
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for _, info := range r.Tensors() {
		names = append(names, info.Name)
	}
	kept, err := r.Verbatim(names)
	if err != nil {
		t.Fatal(err)
	}
	const bias = "model.layers.0.self_attn.o_proj.bias"
	kept = append(kept, checkpoint.Tensor{Name: bias, DType: checkpoint.F32, Shape: []int{1}, Data: make([]byte, 4)})
	if err := checkpoint.WriteAtomic(filepath.Join(dir, checkpoint.SingleFile), func(w io.Writer) error {
		return checkpoint.Write(w, kept, nil)
	}); err != nil {
		t.Fatal(err)
	}
	_, errs, code := generate(t, "-model", dir, "-prompt-ids", "3", "-max-tokens", "1")
	if code != 0 || !strings.Contains(errs, "not there: fancy_attention\n") ||
		!strings.Contains(errs, "left out: "+bias+"\n") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"-model X", "-model: stat X: "},
		{"-model X -prompt a -prompt-ids 1", "-prompt and -prompt-ids: want one of them"},
		{"-model X -prompt=", "-prompt is empty: leave it out for a chat"},
		{"-model X -prompt-file=", "-prompt-file is empty: "},
		{"-model X -prompt-ids=", "-prompt-ids is empty: "},
		{"-model FOLDER -prompt-ids ,", "the prompt has no tokens"},
		{"-model X -prompt-ids 1 -raw", "-raw, -tokenize, -think and -system are for text"},
		{"-model X -tokenize", "-tokenize, -ids and -logprobs need -prompt"},
		{"-model FOLDER -prompt a", "text needs a tokenizer.json: "},
		{"-model FOLDER -prompt a", "; -prompt-ids takes token ids"},
		{"-model FOLDER", "text needs a tokenizer.json: "},
		{"-model X -prompt-ids 1,x", `-prompt-ids: "x" is not a token id`},
		{"-model X -prompt-ids 1,-2", `-prompt-ids: "-2" is not a token id`},
		{"-model X -prompt-ids 1 -max-tokens -1", "-max-tokens -1, want a positive number"},
		{"-model X -prompt-ids 1 -temperature -1", "-temperature -1, want 0 or at least 1e-05"},
		{"-model X -prompt-ids 1 -temperature NaN", "-temperature NaN"},
		{"-model X -prompt-ids 1 -top-p 0", "-top-p 0, want more than 0"},
		{"-model X -prompt-ids 1 -logprobs missing/out.jsonl", "-logprobs: stat missing: "},
		{"-model X -prompt-ids 1 -format q9", `-format "q9", want some of f32, bf16, fp8, q8, q4`},
		{"-prompt-ids 1", "-model is missing"},
		{"-model X -prompt-ids 1", "-model: stat X: "},
		{"-model . -prompt-ids 1", "-model .: no config.json"},
		{"-model ../../model/lora/testdata/qwen2_tied -prompt-ids 1", `merge it into its base model, "qwen2_tied"`},
		{"-model FOLDER -prompt-ids 1,48", "id 48 at index 1 is beyond the vocabulary of 48"},
		{"-model FOLDER -prompt-ids " + strings.Repeat("1,", 63) + "1", "64 tokens fill the context of 64 tokens"},
		{"-model FOLDER -prompt-ids 1,2,3 -max-tokens 62", "-max-tokens 62: after a prompt of 3 the context of 64 tokens " +
			"has room for 61"},
		{"-model FOLDER -prompt-ids 1 -device tpu", `-device: backend: Open("tpu")`},
		{"-model FOLDER -prompt-ids 1 2", `unexpected argument "2"`},
	} {
		out, errs, code := generate(t, strings.Fields(strings.Replace(c.args, "FOLDER", folder, 1))...)
		if code != 1 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, %q, standard error %q, want %q", c.args, code, out, errs, c.want)
		}
	}
}
