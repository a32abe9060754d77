package rl

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// wantError fails the test unless err contains all of the texts.
func wantError(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error is %v, want it to say %s", err, text)
		}
	}
}

// numbers visits every signed number that a caller can set in v, with its name: fields of
// structs, elements of slices, and the reward suite.
func numbers(name string, v reflect.Value, visit func(name string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				numbers(name+"."+f.Name, v.Field(i), visit)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			numbers(name+"["+strconv.Itoa(i)+"]", v.Index(i), visit)
		}
	case reflect.Pointer:
		if _, ok := v.Interface().(*reward.Suite); ok {
			numbers("Suite", v.Elem(), visit)
		}
	case reflect.Interface:
		if g, ok := v.Interface().(*rollout.Generator); ok {
			numbers("Generator", reflect.ValueOf(g).Elem(), visit)
		}
	case reflect.Float64, reflect.Int, reflect.Int32, reflect.Int64:
		visit(name, v)
	}
}

// meaningless returns invalid values for the number with the given name and kind.
func meaningless(name string, kind reflect.Kind) []float64 {
	switch {
	case name == "GRPO.Alarms.DeadSteps": // a negative number disables the alarm
		return nil
	case kind != reflect.Float64:
		return []float64{-1}
	case strings.HasPrefix(name, "GRPO.Alarms."): // negative numbers disable alarms
		return []float64{math.NaN()}
	}
	return []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
}

func put(v reflect.Value, x float64) {
	if v.Kind() == reflect.Float64 {
		v.SetFloat(x)
	} else {
		v.SetInt(int64(x))
	}
}

// spoiled calls try once for each number in the result of fresh and each of its invalid
// values.
func spoiled(t *testing.T, root string, fresh func() any, try func(name string, value float64, spoiled any)) {
	t.Helper()
	n := 0
	numbers(root, reflect.ValueOf(fresh()).Elem(), func(name string, v reflect.Value) {
		for _, bad := range meaningless(name, v.Kind()) {
			n++
			x := fresh()
			numbers(root, reflect.ValueOf(x).Elem(), func(other string, v reflect.Value) {
				if other == name {
					put(v, bad)
				}
			})
			try(name, bad, x)
		}
	})
	if n < 10 {
		t.Fatalf("only %d cases were found", n)
	}
}

// Every invalid number of a GRPO gives an error before anything is sampled, scored, written or
// set.
func TestMeaninglessNumbersOfGRPOAreRefusedByName(t *testing.T) {
	b := openCPU(t)
	m, err := model.New(b, tiny(), 3)
	if err != nil {
		t.Fatal(err)
	}
	base := newRunOf(t, m)
	generator(base).Stop = []int32{1}
	mustStep(t, base) // there is no error without an invalid field
	dir := filepath.Join(t.TempDir(), "absent")
	before := weights(t, base)
	fresh := func() any {
		sampler := *generator(base)
		g := &GRPO{Trainer: base.Trainer, Sampler: &sampler, Data: base.Data, G: 4, Steps: 1}
		tr := *base.Trainer
		tr.Dir, tr.Settings, tr.Extra = dir, nil, nil
		g.Trainer = &tr
		sampler.Stop = []int32{1}
		g.OnRollout = func(*Rollout) { t.Error("it was sampled") }
		score := func(context.Context, reward.Sample) reward.Verdict {
			t.Error("it was scored")
			return reward.Verdict{}
		}
		g.Reward = &reward.Suite{Funcs: []reward.Func{{Name: "sevens", Score: score}}}
		return g
	}
	spoiled(t, "GRPO", fresh, func(name string, value float64, x any) {
		g := x.(*GRPO)
		_, err := g.Step(context.Background())
		wantError(t, err, name)
		wantError(t, g.Run(context.Background()), name)
		wantError(t, g.Preflight(context.Background(), io.Discard), name)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of %g: the folder was written: %v", name, value, err)
		}
		if g.Trainer.Settings != nil || g.Trainer.Extra != nil {
			t.Errorf("%s of %g: the trainer was set up", name, value)
		}
	})
	if weights(t, base) != before {
		t.Error("the weights changed")
	}
}

func TestMeaninglessNumbersOfEvaluationAreRefusedByName(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	prompts, err := g.Data(0)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() any {
		suite := &reward.Suite{Funcs: []reward.Func{{Name: "sevens", Score: sevens}}}
		sampler := *generator(g)
		sampler.Stop = []int32{1}
		return &Evaluation{Sampler: &sampler, N: 2, K: []int{1, 2}, Reward: suite}
	}
	if _, err := fresh().(*Evaluation).Run(context.Background(), prompts); err != nil {
		t.Fatal(err)
	}
	spoiled(t, "Evaluation", fresh, func(name string, value float64, x any) {
		e := x.(*Evaluation)
		e.Progress = func(int, int) { t.Errorf("%s of %g: found after sampling", name, value) }
		_, err := e.Run(context.Background(), prompts)
		wantError(t, err, name)
	})
}

func TestGeneratorOfAnotherModelIsRefused(t *testing.T) {
	g, other := newRun(t, openCPU(t), model.Options{}), newRun(t, openCPU(t), model.Options{})
	g.Trainer.Dir, g.FailOnMismatch = filepath.Join(t.TempDir(), "absent"), false
	generator(g).Generator = generator(other).Generator
	_, err := g.Step(context.Background())
	wantError(t, err, "GRPO.Sampler generates with another model")
	if _, err := os.Stat(g.Trainer.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was written: %v", err)
	}
}

// A prompt that leaves no room for its completion gives an error before the folder of the run
// is made, and in an evaluation before earlier chunks are sampled.
func TestPromptThatDoesNotFitIsNamed(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	g.Trainer.Dir = filepath.Join(t.TempDir(), "absent")
	data := g.Data
	spoil := func(p rollout.Prompt) func(int) ([]rollout.Prompt, error) {
		return func(step int) ([]rollout.Prompt, error) {
			prompts, err := data(step)
			prompts[2] = p
			return prompts, err
		}
	}
	for want, p := range map[string]rollout.Prompt{
		`prompt 2 ("too long") has 9 tokens and Generator.MaxTokens is 8: more than the 16`: {IDs: make([]int32, 9),
			Text: "too long"},
		`prompt 2 ("") has no tokens`:                       {},
		`prompt 2 ("odd"): token 1 is 16, vocab_size is 16`: {IDs: []int32{1, 16}, Text: "odd"},
	} {
		g.Data = spoil(p)
		_, err := g.Step(context.Background())
		wantError(t, err, want)
		prompts, err := g.Data(0)
		if err != nil {
			t.Fatal(err)
		}
		e := Evaluation{Sampler: g.Sampler, Reward: g.Reward, Chunk: 1}
		e.Progress = func(int, int) { t.Errorf("%s: found after sampling", want) }
		_, err = e.Run(context.Background(), prompts)
		wantError(t, err, want)
	}
	if _, err := os.Stat(g.Trainer.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was written: %v", err)
	}
}
