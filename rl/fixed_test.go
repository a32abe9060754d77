package rl

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// otherWord holds other values for fields whose values are strings.
var otherWord = map[string]string{
	"GRPO.Scaling": "none", "GRPO.LossType": "grpo", "GRPO.Estimator": "reinforce_plus_plus",
	"GRPO.Aggregation": "normalize_then_sum", "GRPO.Objective.Surrogate": "reinforce",
	"GRPO.Objective.Level": "sequence", "GRPO.Objective.Divergence": "k1",
	"GRPO.OffPolicy.Correction": "token_mask",
}

// alter visits every field of a GRPO that can be compared, at any depth, and
// sets it to another value.
func alter(name string, v reflect.Value, visit func(name string, set func())) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				alter(name+"."+f.Name, v.Field(i), visit)
			}
		}
	case reflect.Int:
		visit(name, func() { v.SetInt(v.Int() + 1) })
	case reflect.Float64:
		visit(name, func() { v.SetFloat(v.Float() + 0.25) })
	case reflect.Bool:
		visit(name, func() { v.SetBool(!v.Bool()) })
	case reflect.String:
		visit(name, func() { v.SetString(otherWord[name]) })
	case reflect.Slice:
		visit(name, func() { v.Index(0).SetInt(2) })
	case reflect.Interface:
		if g, ok := v.Interface().(*rollout.Generator); ok {
			alter(name+".Policy()", reflect.ValueOf(g).Elem(), visit)
		}
	}
}

func TestFieldsSetAnewBetweenStepsAreNamed(t *testing.T) {
	m, err := model.New(openCPU(t), tiny(), 3)
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	begin := func() *GRPO {
		base := newRunOf(t, m)
		base.Objective.Beta = 0.01
		generator(base).Stop = []int32{1}
		mustStep(t, base)
		return base
	}
	check := func(name string, g *GRPO) {
		t.Helper()
		before := weights(t, g)
		_, err := g.Step(context.Background())
		tried = append(tried, name)
		if mayChange[strings.Split(name, ".")[1]] {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		want := name + " is "
		if strings.HasSuffix(name, "Greedy") { // GRPO rejects it in any case
			want = "GRPO.Sampler is greedy"
		}
		wantError(t, err, want)
		if weights(t, g) != before {
			t.Errorf("%s: the weights changed", name)
		}
	}
	alter("GRPO", reflect.ValueOf(begin()).Elem(), func(name string, _ func()) {
		g := begin()
		g.OnAlarm = func(int, []string) {}
		alter("GRPO", reflect.ValueOf(g).Elem(), func(other string, set func()) {
			if other == name {
				set()
			}
		})
		check(name, g)
	})
	for _, name := range []string{
		"GRPO.G", "GRPO.Objective.EpsilonHigh", "GRPO.Sampler.Policy().Sampling.Temperature",
		"GRPO.Sampler.Policy().Stop", "GRPO.LossType", "GRPO.Shuffle",
	} {
		if !slices.Contains(tried, name) {
			t.Errorf("alter does not visit %s", name)
		}
	}
	for name, set := range map[string]func(g *GRPO){
		"GRPO.Trainer":      func(g *GRPO) { g.Trainer = &train.Trainer{Model: m, Optimizer: g.Trainer.Optimizer} },
		"GRPO.Reward":       func(g *GRPO) { g.Reward = &reward.Suite{Funcs: g.Reward.Funcs} },
		"GRPO.Reward.Funcs": func(g *GRPO) { g.Reward.Funcs[0].Weight = 2 },
	} {
		g := begin()
		set(g)
		check(name, g)
	}
}

// After Close the caller can train and save with the Trainer.
func TestTrainerGoesOnAfterItsGRPO(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		g := newRun(t, openCPU(t), model.Options{})
		g.Trainer.Dir, g.Trainer.Settings = dir, "own"
		mustStep(t, g)
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		seqs := []model.Sequence{{IDs: []int32{1, 2, 3, 4}}}
		if _, err := g.Trainer.Step(context.Background(), seqs); err != nil {
			t.Errorf("step in %q: %v", dir, err)
		}
		if err := g.Trainer.Save(); err != nil {
			t.Errorf("save in %q: %v", dir, err)
		}
		g.Trainer.Settings = "others"
		if _, err := g.Trainer.Step(context.Background(), seqs); err == nil {
			t.Errorf("in %q other settings pass", dir)
		}
	}
}
