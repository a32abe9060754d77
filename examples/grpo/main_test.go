package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/examples/internal/program"
	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// mustRun runs grpo -json and returns its output and its results.
func mustRun(t *testing.T, args ...string) (text string, r result) {
	t.Helper()
	o := program.Finish(t, append([]string{"-json"}, args...)...)
	if o.Code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", args, o.Code, o.Stdout, o.Stderr)
	}
	lines := strings.Split(strings.TrimSpace(o.Stdout), "\n")
	must(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	return o.Stdout, r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o666))
	return path
}

// tinyModel returns a folder with a model of random weights, SmolLM2's tokenizer, whose
// vocabulary is cut short, and its chat template.
func tinyModel(t *testing.T) string {
	t.Helper()
	c, err := model.LoadConfig("../../model/testdata/golden/qwen3")
	must(t, err)
	c.VocabSize, c.MaxPositionEmbeddings, c.EOSTokenID = 616, 1024, model.TokenIDs{2}
	c.InitializerRange = 0.3
	b, err := cpu.New(cpu.Options{})
	must(t, err)
	defer b.Close()
	m, err := model.New(b, c, 3)
	must(t, err)
	defer m.Free()
	file := func(path string) func(w io.Writer) error {
		return func(w io.Writer) error {
			text, err := os.ReadFile("../../model/tokenizer/" + path)
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		}
	}
	dir := filepath.Join(t.TempDir(), "tiny")
	must(t, model.Save(dir, m, model.SaveOptions{Files: map[string]func(io.Writer) error{
		tokenizer.FileName: file("testdata/cut_smollm2.json"), "chat_template.jinja": file("chat/testdata/SmolLM2.jinja"),
	}}))
	return dir
}

// sums writes a file of additions in the form of GSM8K and returns its path.
func sums(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, `{"question": "What is %d plus %d?", "answer": "It is so.\n#### %d"}`+"\n", i, i%7, i+i%7)
	}
	return write(t, "sums.jsonl", text.String())
}

// short returns flags for a run that takes seconds, with more appended. The reward is for words
// that are not in Latin script, since a model of random weights gets some of that.
func short(model, data, out string, more ...string) []string {
	return append([]string{"-model", model, "-data", data, "-out", out, "-rewards", "language=-1,math=0",
		"-template", "plain", "-prompts", "4", "-num-generations", "4", "-max-completion-length", "8",
		"-mini-batches", "1", "-steps", "6",
		"-learning-rate", "0.01", "-held", "0.1", "-eval-problems", "4", "-samples-every", "1"}, more...)
}

func TestRewardsRise(t *testing.T) {
	dir, data := tinyModel(t), sums(t)
	for _, more := range [][]string{
		{"-lora", "8"}, {"-beta", "0.001", "-ref-model-sync-steps", "5", "-eval-every", "10"},
	} {
		out := t.TempDir()
		text, r := mustRun(t, short(dir, data, out, append(more, "-steps", "30")...)...)
		rows, err := run.ReadMetrics(filepath.Join(out, runFolder, "metrics.jsonl"))
		must(t, err)
		mean := func(rows run.Rows) float64 { return rows.Sum(rl.MetricReward) / float64(len(rows)) }
		before, after := mean(rows[:5]), mean(rows[25:])
		if !(after > before+0.1) {
			t.Errorf("%v: mean reward %.3f of the first steps, %.3f of the last", more, before, after)
		}
		for _, want := range []string{"memory, training: ", "KV cache ", `"Question:\nWhat is`, "rewards/language: ",
			"rewards/math: ", "30 steps of 4 prompts × 4 completions = 16", "step 7, a sample of ",
			"before: accuracy 0.0% of 4", "after: accuracy 0.0%"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: the output lacks %q:\n%s", more, want, text)
			}
		}
		if r.Steps != 30 || r.Train != 36 || r.Held != 4 || r.Before == nil || r.After == nil || r.Estimate < 1 {
			t.Errorf("%v: %+v", more, r)
		}
		loads(t, out)
		// A run with the resolved configuration has the same result.
		again := t.TempDir()
		_, same := mustRun(t, "-model", dir, "-data", data, "-out", again, "-config", filepath.Join(out, "resolved.json"))
		if same.WeightsSHA256 != r.WeightsSHA256 {
			t.Errorf("%v: the weights with resolved.json are %s, want %s", more, same.WeightsSHA256, r.WeightsSHA256)
		}
	}
}

// loads checks that the saved model and its tokenizer can be loaded.
func loads(t *testing.T, out string) {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	must(t, err)
	defer b.Close()
	dir := filepath.Join(out, tune.ModelFolder)
	m, _, err := model.Load(b, dir, model.LoadOptions{})
	must(t, err)
	m.Free()
	_, err = tokenizer.Load(dir)
	must(t, err)
}

// Each preset runs with small batches, on all weights and on adapters.
func TestPresetsStart(t *testing.T) {
	dir, data := tinyModel(t), sums(t)
	countdown := write(t, "countdown.jsonl", strings.Repeat(
		`{"prompt": "Make 22 of 3, 5 and 7.", "answer": {"numbers": [3, 5, 7], "target": 22}}`+"\n", 8))
	for _, p := range presets {
		for _, rank := range []string{"0", "4"} {
			c := base()
			p.set(&c)
			args := []string{"-preset", p.name, "-model", dir, "-data", data, "-out", t.TempDir(), "-lora", rank,
				"-prompts", "2", "-mini-batches", "1", "-max-completion-length", "6", "-steps", "2", "-eval-problems", "2"}
			if c.Rewards["tinyzero"] != 0 {
				args[5] = countdown
			}
			if c.MaxPrompt > 0 { // prompts have more tokens, since the vocabulary is cut short
				args = append(args, "-max-prompt-length", "1000")
			}
			text, r := mustRun(t, args...)
			if r.Steps != 2 || !strings.Contains(text, "preset "+p.name+": "+p.source) || !strings.Contains(text, "prompt: ") {
				t.Errorf("%s: %+v\n%s", p.name, r, text)
			}
			if left := strings.Contains(text, "of preset r1-zero is ignored"); left != (p.name == "r1-zero" && rank != "0") {
				t.Errorf("%s, rank %s: the note about ref_model_sync_steps is printed: %t", p.name, rank, left)
			}
			for _, key := range []string{"preset", "num_generations", "learning_rate"} {
				resolved, err := os.ReadFile(filepath.Join(args[7], "resolved.json"))
				must(t, err)
				if !strings.Contains(string(resolved), `"`+key+`"`) {
					t.Errorf("%s: resolved.json lacks %s", p.name, key)
				}
			}
		}
	}
}

// A run that is killed and resumed several times ends with the same bits as an undisturbed one.
func TestKilledRunsResume(t *testing.T) {
	dir, data := tinyModel(t), sums(t)
	for _, more := range [][]string{
		{"-lora", "4", "-preset", "r1-zero"},
		{"-lora", "4", "-preset", "ppo", "-critic-learning-rate", "0.01", "-critic-warmup", "3", "-max-prompt-length", "0"},
		{"-preset", "r1-zero", "-ref-model-sync-steps", "2", "-learning-rate", "0.001"},
		{"-critic", "trunk", "-learning-rate", "0.001", "-eval-every", "4"},
		{"-max-num-gen-batches", "20", "-learning-rate", "0.001"},
		{"-mini-batches", "2", "-importance-sampling-mode", "sequence_mask", "-off-policy-mask-threshold", "0.1"},
	} {
		more = append(more, "-steps", "12", "-save-every", "1")
		_, want := mustRun(t, short(dir, data, t.TempDir(), more...)...)
		out := t.TempDir()
		args := short(dir, data, out, more...)
		for kill := range 3 {
			c := program.Command(t, args...)
			must(t, c.Start())
			done := make(chan struct{})
			go func() {
				c.Wait()
				close(done)
			}()
			for until, ended := 2+3*kill, false; !ended; {
				select {
				case <-done:
					ended = true
				case <-time.After(time.Millisecond):
					ended = newest(out) >= until
				}
			}
			c.Process.Kill()
			<-done
			args = short(dir, data, out, append(more, "-resume")...)
		}
		_, got := mustRun(t, args...)
		if got.WeightsSHA256 != want.WeightsSHA256 || got.Steps != want.Steps {
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
	dir, data, out := tinyModel(t), sums(t), t.TempDir()
	args := short(dir, data, out, "-steps", "2")
	mustRun(t, args...)
	for _, c := range []struct {
		more []string
		want string
	}{
		{nil, out + " has a run: -resume continues it"},
		{[]string{"-resume", "-epsilon", "0.1", "-rewards", "language=-2,math=0"},
			"epsilon: 0 there, 0.1 now\n  rewards.language: -1 there, -2 now"},
	} {
		if o := program.Finish(t, append(args, c.more...)...); o.Code != 1 || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.more, o.Code, o.Stderr, c.want)
		}
	}
	// Keys that do not determine the result may change.
	mustRun(t, append(args, "-resume", "-save-every", "3", "-eval-samples", "2", "-samples-every", "0")...)
}

func TestBadConfigurationsAreNamed(t *testing.T) {
	dir, data := tinyModel(t), sums(t)
	file := func(text string) string { return write(t, "c.json", text) }
	out := filepath.Join(t.TempDir(), "absent")
	ok := []string{"-model", dir, "-data", data, "-out", out}
	for _, c := range []struct {
		args []string
		want string
	}{
		{append(ok, "-config", file(`{"num_generation": 4}`)), `unknown key "num_generation", did you mean num_generations?`},
		{append(ok, "-config", file(`{"preset": "dapoo"}`)), `preset is "dapoo", did you mean dapo?`},
		{append(ok, "-config", file(`{"learning_rate": "fast"}`)), `learning_rate: want a number, got string`},
		{append(ok, "-preset", "grpo-default"), `preset is "grpo-default"`},
		{append(ok, "-rewards", "maths"), `rewards: unknown reward "maths", did you mean math?`},
		{append(ok, "-rewards", "math=0"), `rewards: all weights are 0`},
		{append(ok, "-rewards", "math=x"), `-rewards "math=x": the weight of math is "x", want a number`},
		{append(ok, "-rewards", "length"), `rewards: length needs a reward of correctness`},
		{append(ok, "-loss-type", "grop"), `loss_type is "grop", did you mean grpo?`},
		{append(ok, "-importance-sampling-mode", "token_trunk"), `importance_sampling_mode is "token_trunk", did you mean`},
		{append(ok, "-template", "r1zero"), `template is "r1zero", did you mean r1-zero?`},
		{append(ok, "-num-generations", "0"), `num_generations is 0, want 1 or more`},
		{append(ok, "-top-p", "1.5"), `top_p is 1.5, want more than 0 and at most 1`},
		{append(ok, "-held", "1"), `held is 1, want more than 0 and less than 1`},
		{append(ok, "-learning-rate", "NaN"), `learning_rate is NaN`},
		{append(ok, "-system", "x", "-template", "plain"), `system is set, but template plain has no system message`},
		{append(ok, "-critic-warmup", "2"), `critic_warmup is 2, which needs critic own`},
		{append(ok, "-critic-warmup", "100", "-critic", "own"), `GRPO.Critic.Warmup is 100, and Steps is 100`},
		{append(ok, "-gamma", "0.5"), `gamma is 0.5, which needs a critic`},
		{append(ok, "-critic", "trunk", "-critic-learning-rate", "1"), `critic_learning_rate is 1, which needs critic own`},
		{append(ok, "-critic", "own", "-scale-rewards", "none"), `scale_rewards is none with critic own`},
		{append(ok, "-critic", "own", "-multi-objective-aggregation", "normalize_then_sum"),
			`multi_objective_aggregation is normalize_then_sum with critic own`},
		{append(ok, "-critic", "own", "-max-num-gen-batches", "2"), `GRPO.DynamicSampling is 2 with Critic`},
		{append(ok, "-num-generations", "1"), `GRPO.G is 1, want at least 2`},
		{append(ok, "-divergence", "k1"), `Objective.Divergence is k1, but Objective.Beta is 0`},
		{append(ok, "-lora", "4", "-beta", "0.1", "-ref-model-sync-steps", "3"),
			`GRPO.RefSync is set and the model has adapters`},
		{append(ok, "-max-completion-length", "1024"), `max_completion_length is 1024, max_position_embeddings`},
		{append(ok, "-max-prompt-length", "3"), `0 problems to train on (40 are longer than 3 tokens)`},
		{append(ok, "-rewards", "countdown"), `sums.jsonl: line 1: "answer", as the "gold" of reward countdown`},
		{append(ok, "-device", "cdua:0"), `-device: `},
		{[]string{"-data", data, "-out", out}, `-model is missing`},
		{[]string{"-model", dir, "-out", out}, `-data is missing: a file of problems`},
		{[]string{"-model", dir, "-data", data}, `-out is missing`},
		{append(slices.Clone(ok), "more"), `unexpected argument "more"`},
	} {
		if o := program.Finish(t, c.args...); o.Code != 1 || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("%v: exit code %d, %q, want %q", c.args, o.Code, o.Stderr, c.want)
		}
	}
	for _, f := range []string{"config.json", "resolved.json", runFolder} {
		if _, err := os.Stat(filepath.Join(out, f)); err == nil {
			t.Errorf("a refused run has left %s", f)
		}
	}
}

// The error for an adapter as the model names the folder with the merged model.
func TestAnAdapterIsNoModel(t *testing.T) {
	dir, data, out := tinyModel(t), sums(t), t.TempDir()
	mustRun(t, short(dir, data, out, "-lora", "4", "-steps", "1", "-eval-problems", "0")...)
	adapter, merged := filepath.Join(out, tune.AdapterFolder), filepath.Join(out, tune.ModelFolder)
	o := program.Finish(t, short(adapter, data, t.TempDir())...)
	for _, want := range []string{"-model " + adapter, "it is an adapter", "set -model to " + merged, strconv.Quote(dir)} {
		if o.Code != 1 || !strings.Contains(o.Stderr, want) {
			t.Errorf("exit code %d, %q, want %q", o.Code, o.Stderr, want)
		}
	}
}

func TestPresetsAreListed(t *testing.T) {
	o := program.Finish(t, "-presets")
	words := strings.Join(strings.Fields(o.Stdout), " ")
	for _, p := range presets {
		if !strings.Contains("\n"+o.Stdout, "\n"+p.name+"\n    ") || !strings.Contains(words, p.name+" "+p.source) {
			t.Errorf("%s is not listed:\n%s", p.name, o.Stdout)
		}
	}
	for line := range strings.Lines(o.Stdout) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("a line has %d characters: %s", n, line)
		}
	}
}
