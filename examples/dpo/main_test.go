package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/examples/internal/program"
	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/lora"
)

func TestMain(m *testing.M) { program.Main(m, main) }

const golden = "../../model/testdata/golden/"

// mustRun runs dpo -json and returns its results.
func mustRun(t *testing.T, args ...string) (r result) {
	t.Helper()
	o := program.Finish(t, append([]string{"-json"}, args...)...)
	if o.Code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", args, o.Code, o.Stdout, o.Stderr)
	}
	lines := strings.Split(strings.TrimSpace(o.Stdout), "\n")
	must(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeData writes preference pairs with random prompts. The chosen answer depends on the
// prompt's last token, which has two values; the rejected one is that of the other value.
func writeData(t *testing.T) string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 0))
	var text bytes.Buffer
	for range 60 {
		var prompt []int32
		for range 2 + r.IntN(6) {
			prompt = append(prompt, 2+r.Int32N(38))
		}
		last := r.Int32N(2)
		row, err := json.Marshal(map[string]any{
			"prompt": append(prompt, 40+last), "chosen": []int32{42 + last, 44, 45, 1}, "rejected": []int32{43 - last, 45, 1},
		})
		must(t, err)
		fmt.Fprintf(&text, "%s\n", row)
	}
	path := filepath.Join(t.TempDir(), "data.jsonl")
	must(t, os.WriteFile(path, text.Bytes(), 0o666))
	return path
}

// short returns flags for a run that takes seconds, with more appended.
func short(data, out string, more ...string) []string {
	return append([]string{"-data", data, "-out", out, "-steps", "20", "-batch", "8", "-rows", "64", "-lr", "0.01",
		"-lora", "8", "-alpha", "16", "-held", "0.2"}, more...)
}

func TestHeldOutPreferencesAreLearned(t *testing.T) {
	data := writeData(t)
	for _, more := range [][]string{
		{"-model", golden + "llama3_scaling"},
		{"-model", golden + "llama3_scaling", "-loss", "ipo"},
		{"-model", golden + "qwen2_tied", "-format", "q8", "-targets", "q_proj, v_proj,down_proj"},
		{"-model", golden + "deepseek_v3_mtp", "-format", "bf16", "-loss", "sigmoid_norm", "-beta", "1"},
		{"-model", golden + "qwen3", "-lora", "0", "-precompute", "-lr", "0.003"},
		{"-model", golden + "qwen3", "-lora", "0", "-lr", "0.003"},
	} {
		out := t.TempDir()
		r := mustRun(t, short(data, out, more...)...)
		if !(r.Accuracy >= 0.9 && r.Margin > 0.2) {
			t.Errorf("%v: held-out accuracy %g, margin %g", more, r.Accuracy, r.Margin)
		}
		if r.Steps != 20 || r.Held != 12 || r.Train != 48 || r.LeftOut != 0 || r.Trained < 1 {
			t.Errorf("%v: %+v", more, r)
		}
		sameModel(t, more[1], out)
	}
}

// sameModel checks that the saved model has the logits of the base model with the saved
// adapters.
func sameModel(t *testing.T, base, out string) {
	t.Helper()
	merged := load(t, filepath.Join(out, tune.ModelFolder))
	adapter := filepath.Join(out, tune.AdapterFolder)
	if _, err := os.Stat(adapter); err != nil {
		return // all weights were trained
	}
	m := load(t, base)
	before := logits(t, m)
	_, err := lora.Load(m, adapter)
	must(t, err)
	want, got := logits(t, m), logits(t, merged)
	worst, moved, largest := 0.0, 0.0, 0.0
	for i, w := range want {
		worst, moved = max(worst, math.Abs(got[i]-w)), max(moved, math.Abs(before[i]-w))
		largest = max(largest, math.Abs(w))
	}
	if !(worst < 1e-4*largest && moved > 0.1*largest) {
		t.Errorf("%s: logits of the merged model are off by %g of %g; training moved them by %g", base, worst, largest, moved)
	}
}

func load(t *testing.T, dir string) *model.Model {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	m, _, err := model.Load(b, dir, model.LoadOptions{Options: model.Options{DType: backend.F32}})
	must(t, err)
	t.Cleanup(m.Free)
	return m
}

func logits(t *testing.T, m *model.Model) []float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: []int32{5, 9, 30, 12, 41, 42, 44}}}
	v, err := tensor.Logits(m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs))).Hidden, m.Head).Values()
	must(t, err)
	return v
}

// With -precompute the trained weights are the same, bit for bit.
func TestPrecomputedRunsAreTheSame(t *testing.T) {
	data := writeData(t)
	for _, more := range [][]string{{"-lora", "0", "-lr", "0.001"}, {"-format", "q8"}} {
		more = append(more, "-model", golden+"qwen3", "-steps", "12")
		want := mustRun(t, short(data, t.TempDir(), more...)...)
		got := mustRun(t, short(data, t.TempDir(), append(more, "-precompute")...)...)
		if got.WeightsSHA256 != want.WeightsSHA256 || got.Margin != want.Margin || got.Loss != want.Loss {
			t.Errorf("%v: %+v, without -precompute %+v", more, got, want)
		}
	}
}

// A run that is killed and resumed several times ends with the same bits as an undisturbed one.
func TestKilledRunsResume(t *testing.T) {
	data := writeData(t)
	for _, more := range [][]string{
		{"-format", "q8"}, {"-lora", "0", "-lr", "0.001"}, {"-lora", "0", "-lr", "0.001", "-precompute"},
	} {
		more = append(more, "-model", golden+"qwen3", "-save-every", "2", "-eval", "7")
		want := mustRun(t, short(data, t.TempDir(), more...)...)
		out := t.TempDir()
		args := short(data, out, more...)
		for kill := range 3 {
			c := program.Command(t, args...)
			must(t, c.Start())
			done := make(chan struct{})
			go func() {
				c.Wait()
				close(done)
			}()
			for until, ended := 4+5*kill, false; !ended; {
				select {
				case <-done:
					ended = true
				case <-time.After(time.Millisecond):
					ended = newest(out) >= until
				}
			}
			c.Process.Kill()
			<-done
			args = short(data, out, append(more, "-resume")...)
		}
		got := mustRun(t, args...)
		if got.WeightsSHA256 != want.WeightsSHA256 || got.Accuracy != want.Accuracy || got.Margin != want.Margin ||
			got.Loss != want.Loss || got.Tokens != want.Tokens {
			t.Errorf("%v: killed runs end with %+v, want %+v", more, got, want)
		}
	}
}

// newest returns the step of the newest checkpoint in out, or 0 if there is none.
func newest(out string) (step int) {
	folders, _ := filepath.Glob(filepath.Join(out, runFolder, "step-*"))
	for _, f := range folders {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(f), "step-%d", &n); err == nil {
			step = max(step, n)
		}
	}
	return step
}

func TestOneFolderHasOneRun(t *testing.T) {
	data, out := writeData(t), t.TempDir()
	args := append(short(data, out, "-model", golden+"qwen3"), "-steps", "3")
	mustRun(t, args...)
	for _, c := range []struct {
		more []string
		want string
	}{
		{nil, out + " has a run: -resume continues it; or choose another -out"},
		{[]string{"-resume", "-beta", "0.5", "-loss", "ipo"}, "config.json is of a run with other settings (choose another " +
			"folder, or those settings):\n  beta: 0.1 there, 0.5 now\n  loss: \"sigmoid\" there, \"ipo\" now"},
	} {
		if o := program.Finish(t, append(args, c.more...)...); o.Code != 1 || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.more, o.Code, o.Stderr, c.want)
		}
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	data := writeData(t)
	model := golden + "qwen3"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-model", model, "-out", "x"}, "-data is missing: a file of pairs"},
		{[]string{"-model", model, "-data", data}, "-out is missing"},
		{[]string{"-data", data, "-out", "x"}, "-model is missing"},
		{short(data, "x", "-model", model, "-batch", "0"), "-batch 0, want at least 1"},
		{short(data, "x", "-model", model, "-beta", "0"), "-beta 0"},
		{short(data, "x", "-model", model, "-beta", "NaN"), "-beta NaN"},
		{short(data, "x", "-model", model, "-loss", "hinge"), `-loss "hinge", want sigmoid`},
		{short(data, "x", "-model", model, "-label-smoothing", "0.5"), "-label-smoothing 0.5, want 0 or more"},
		{short(data, "x", "-model", model, "-label-smoothing", "0.1", "-loss", "ipo"),
			"-label-smoothing 0.1: -loss ipo has no label smoothing"},
		{short(data, "x", "-model", model, "-lora", "0", "-format", "q4"), "weights in that format cannot be trained"},
		{short(data, "x", "-model", model, "-max-tokens", "3"),
			"0 pairs to train on (60 are too long, 0 have equal completions)"},
	} {
		if o := program.Finish(t, c.args...); o.Code != 1 || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.args, o.Code, o.Stderr, c.want)
		}
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("a refused run has left its folder")
	}
}
