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

// mustRun runs finetune -json and returns its results.
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

// writeData writes conversations with random prompts and answers that depend on the prompt's
// last token, so that only the answers can be learned.
func writeData(t *testing.T) string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 0))
	var text bytes.Buffer
	for range 60 {
		l := line{}
		for range 2 + r.IntN(6) {
			l.IDs, l.Weight = append(l.IDs, 2+r.Int32N(38)), append(l.Weight, 0)
		}
		last := 40 + r.Int32N(2)
		l.IDs, l.Weight = append(l.IDs, last), append(l.Weight, 0)
		for _, id := range []int32{42 + last%2, 44, 45, 1} {
			l.IDs, l.Weight = append(l.IDs, id), append(l.Weight, 1)
		}
		row, err := json.Marshal(map[string]any{"ids": l.IDs, "weight": l.Weight})
		must(t, err)
		fmt.Fprintf(&text, "%s\n", row)
	}
	path := filepath.Join(t.TempDir(), "data.jsonl")
	must(t, os.WriteFile(path, text.Bytes(), 0o666))
	return path
}

// short returns flags for a run that takes seconds, with more appended.
func short(data, out string, more ...string) []string {
	return append([]string{"-data", data, "-out", out, "-steps", "40", "-batch", "128", "-rows", "64", "-lr", "0.01",
		"-lora", "8", "-alpha", "16", "-held", "0.2"}, more...)
}

func TestHeldOutLossFalls(t *testing.T) {
	data := writeData(t)
	for _, more := range [][]string{
		{"-model", golden + "llama3_scaling"},
		{"-model", golden + "llama3_scaling", "-lora", "0"},
		{"-model", golden + "qwen2_tied", "-format", "q8", "-targets", "q_proj, v_proj,down_proj"},
		{"-model", golden + "deepseek_v3_mtp", "-format", "bf16"},
	} {
		out := t.TempDir()
		r := mustRun(t, short(data, out, more...)...)
		if !(r.HeldBefore > 3 && r.HeldAfter < 0.2*r.HeldBefore) {
			t.Errorf("%v: held-out loss %g, before %g", more, r.HeldAfter, r.HeldBefore)
		}
		if r.Steps != 40 || r.Held != 12 || r.Train != 48 || r.LeftOut != 0 || r.Trained < 1 ||
			(r.Trained == r.Params) != (more[len(more)-1] == "0") {
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

// A run that is killed and resumed several times ends with the same bits as an undisturbed one.
func TestKilledRunsResume(t *testing.T) {
	data := writeData(t)
	for _, more := range [][]string{{"-format", "q8"}, {"-lora", "0", "-lr", "0.001"}} {
		more = append(more, "-model", golden+"qwen3", "-save-every", "2", "-eval", "15")
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
			for until, ended := 4+10*kill, false; !ended; {
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
		if got.WeightsSHA256 != want.WeightsSHA256 || got.HeldAfter != want.HeldAfter || got.HeldBefore != want.HeldBefore ||
			got.Tokens != want.Tokens {
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
		{[]string{"-resume", "-lr", "0.5", "-seed", "2"}, "config.json is of a run with other settings (choose another " +
			"folder, or those settings):\n  lr: 0.01 there, 0.5 now\n  seed: 1 there, 2 now"},
	} {
		if o := program.Finish(t, append(args, c.more...)...); o.Code != 1 || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.more, o.Code, o.Stderr, c.want)
		}
	}
	must(t, os.WriteFile(data, []byte(`{"ids":[1,2]}`+"\n"+`{"ids":[2,3]}`), 0o666))
	if o := program.Finish(t, append(args, "-resume")...); o.Code != 1 || !strings.Contains(o.Stderr, "data_sha256: ") {
		t.Errorf("other data: exit code %d, %q", o.Code, o.Stderr)
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	data := writeData(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-model", golden + "qwen3", "-out", "x"}, "-data is missing"},
		{[]string{"-model", golden + "qwen3", "-data", data}, "-out is missing"},
		{[]string{"-data", data, "-out", "x"}, "-model is missing"},
		{short(data, "x", "-model", golden+"qwen3", "-held", "1"), "-held 1, want more than 0 and less than 1"},
		{short(data, "x", "-model", golden+"qwen3", "-lr", "-1"), "-lr -1"},
		{short(data, "x", "-model", golden+"qwen3", "-lora", "-1"), "-lora -1, want at least 0"},
		{short(data, "x", "-model", golden+"qwen3", "-lora", "0", "-format", "q4"),
			"weights in that format cannot be trained"},
		{short(data, "x", "-model", golden+"qwen3", "-max-tokens", "65"),
			"-max-tokens 65, max_position_embeddings of the model is 64"},
		{short(data, "x", "-model", golden+"qwen3", "-max-tokens", "3"),
			"0 conversations to train on (60 are too long)"},
		{short(data, t.TempDir(), "-model", golden+"qwen3", "-targets", "q_proj,router"), `target "router" names nothing`},
	} {
		if o := program.Finish(t, c.args...); o.Code != 1 || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.args, o.Code, o.Stderr, c.want)
		}
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("a refused run has left its folder")
	}
}
