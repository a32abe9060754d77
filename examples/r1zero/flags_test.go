package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/examples/internal/lab"
)

func TestBadFlagsAreNamed(t *testing.T) {
	file, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-control", "none"}, 1, `-control "none", want shuffled or unbalanced`},
		{[]string{"-steps", "-3"}, 1, "-steps -3, want a positive number"},
		{[]string{"-quick", "again"}, 1, `unexpected argument "again"`},
		{[]string{"-device", "tpu"}, 1,
			`-device: backend: Open("tpu"): unknown driver "tpu"; ` +
				`registered drivers: cpu, cuda; drivers of this module: cpu, cuda`},
		{[]string{"-out", file}, 1, file},
		{[]string{"-seed", "-1"}, 2, "-seed"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
	} {
		cmd := command(t, c.args...)
		cmd.Dir = t.TempDir()
		o := finish(t, cmd)
		if o.code != c.code || !strings.Contains(o.stderr, c.want) || o.stdout != "" {
			t.Errorf("%v: exit code %d, standard error %q, standard output %q; want %d, %q and nothing", c.args, o.code,
				o.stderr, o.stdout, c.code, c.want)
		}
		if files, err := os.ReadDir(cmd.Dir); err != nil || len(files) > 0 {
			t.Errorf("%v: left %v behind, %v", c.args, files, err)
		}
	}
}

func TestDefaultFolderTellsTheRun(t *testing.T) {
	for want, o := range map[string]options{
		"r1zero":                      {Seed: 1},
		"r1zero-quick-seed2-shuffled": {Seed: 2, Quick: true, Control: "shuffled"},
		"r1zero-unbalanced":           {Seed: 1, Control: "unbalanced"},
	} {
		if got := defaultOut(o); got != filepath.Join("out", want) {
			t.Errorf("%+v: %s, want %s", o, got, want)
		}
	}
}

func TestResultHasItsKeys(t *testing.T) {
	_, result := reference(t)
	for _, name := range []string{
		"pass1_before", "pass1_after", "pass16_before", "pass16_after", "maj16_after", "seconds", "base_seconds",
		"eval_seconds", "rl_seconds", "rollout_seconds", "update_seconds",
		"rl_steps", "params", "active_params", "logp_diff_max", "maxvio_mean", "weights_sha256",
	} {
		if v, ok := result[name]; !ok || v == nil {
			t.Errorf("%s is %v", name, v)
		}
	}
	if v := result["version"]; v != float64(lab.OutcomeVersion) {
		t.Errorf("version is %v", v)
	}
	split, all := result["rollout_seconds"].(float64)+result["update_seconds"].(float64), result["rl_seconds"].(float64)
	if !(0 < split && split <= all) {
		t.Errorf("rollouts and updates took %g s of GRPO's %g s", split, all)
	}
	if n := result["rl_steps"]; n != float64(tiny.RLSteps) {
		t.Errorf("rl_steps is %v", n)
	}
	if p, a := result["params"].(float64), result["active_params"].(float64); !(0 < a && a < p) {
		t.Errorf("%v parameters, %v active", p, a)
	}
}

func TestDrawDrawsTheCurvesAnewAndNothingElse(t *testing.T) {
	out := clone(t)
	if err := os.Remove(filepath.Join(out, "curves.png")); err != nil {
		t.Fatal(err)
	}
	o := finish(t, command(t, "-draw", "-out", out))
	if o.code != 0 || o.stdout != "" {
		t.Fatalf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	dir, _ := reference(t)
	sameRecords(t, "drawn anew", dir, out)
	empty := t.TempDir()
	if o := finish(t, command(t, "-draw", "-out", empty)); o.code != 1 || !strings.Contains(o.stderr, empty) {
		t.Errorf("no run: exit code %d, %s", o.code, o.stderr)
	}
}

func TestSecondRunBeginsAtGRPO(t *testing.T) {
	out := clone(t)
	const marker = "from the saved evaluation"
	evaluation := filepath.Join(out, "base", "evaluation.json")
	text := read(t, evaluation)
	i := strings.Index(text, `"text":"`) + len(`"text":"`)
	text = text[:i] + marker + text[i:]
	if err := os.WriteFile(evaluation, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	o, result := must(t, out, "-steps", "2")
	if !strings.Contains(o.stdout, marker) {
		t.Error("the base model was evaluated again")
	}
	dir, want := reference(t)
	if read(t, out, "base", "metrics.jsonl") != read(t, dir, "base", "metrics.jsonl") {
		t.Error("the base model was trained again")
	}
	if result["rl_steps"] != 2.0 || result["weights_sha256"] == want["weights_sha256"] {
		t.Errorf("the second run made %v steps", result["rl_steps"])
	}
	for _, name := range []string{"metrics.jsonl", "verdicts.jsonl"} {
		if read(t, out, "grpo-1", name) != read(t, dir, "grpo", name) {
			t.Errorf("%s of the first run has changed", name)
		}
	}
	for _, name := range []string{"config.json", "curves.png", "model/model.safetensors"} {
		if read(t, out, "grpo-1", name) != read(t, dir, name) {
			t.Errorf("%s of the first run has changed", name)
		}
	}
	if a, b := newest(t, filepath.Join(out, "grpo-1")), newest(t, filepath.Join(dir,
		"grpo")); filepath.Base(a) != filepath.Base(b) {
		t.Errorf("the first run's newest checkpoint is %s, was %s", a, b)
	}
}

func TestOtherSettingsAreRefusedByName(t *testing.T) {
	out := clone(t)
	before := read(t, out, "config.json")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-resume", "-seed", "2"}, []string{"seed: 1 there, 2 now"}},
		{[]string{"-resume", "-steps", "9"}, []string{"scale.rl_steps: 3 there, 9 now"}},
		{[]string{"-resume", "-quick"}, []string{"quick: false there, true now", "scale.rl_steps: 3 there, 1 now"}},
		{[]string{"-resume", "-control", "shuffled", "-seed", "3"}, []string{`control: "" there, "shuffled" now`,
			"seed: 1 there, 3 now"}},
		{[]string{"-seed", "2"}, []string{"seed: 1 there, 2 now"}},
		{[]string{"-control", "unbalanced"}, []string{"unbalanced: false there, true now"}},
	} {
		o := finish(t, command(t, append(c.args, "-out", out)...))
		if o.code != 1 || !strings.Contains(o.stderr, filepath.Join(out, "")) {
			t.Errorf("%v: exit code %d, %s", c.args, o.code, o.stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(o.stderr, want) {
				t.Errorf("%v: no %q in %s", c.args, want, o.stderr)
			}
		}
		if n := strings.Count(o.stderr, " there, "); n != len(c.want) {
			t.Errorf("%v: %d differences, want %d: %s", c.args, n, len(c.want), o.stderr)
		}
	}
	if read(t, out, "config.json") != before {
		t.Error("config.json was overwritten")
	}
	_, result := must(t, out, "-resume")
	wantUndisturbed(t, "resumed after refusals", out, result)
}

func TestRunSaysHowLongItTakes(t *testing.T) {
	out := t.TempDir()
	o, _ := must(t, out, "-quick")
	for _, want := range []string{"\nthis run takes about ", " on this machine: base model ",
		"GRPO changed: right answers ",
		"\nThe full run, without -quick, is of the same model: numbers up to 30, 14662 problems,"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("lacks %q:\n%s", want, o.stdout)
		}
	}
	if o, _ := must(t, out, "-quick"); !strings.Contains(o.stdout, "\nwhat is left takes about ") {
		t.Errorf("the second run says:\n%s", o.stdout)
	}
}
