package rl

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

func TestEvaluationCountsByHand(t *testing.T) {
	// There are two sources and N = 4 samples of each of three prompts. Correct samples (1) of
	// source a: 1100 and 0000; of b: 1110. The answers of b are x x y z, those of a's first
	// prompt p p q q.
	prompts := []rollout.Prompt{{Source: "a"}, {Source: "b"}, {Source: "a"}}
	correct := "110011100000"
	answers := "ppqqxxyz...."
	r := &EvalResult{N: 4, Scores: &reward.Scores{}}
	var verdicts []reward.Verdict
	for i := range correct {
		v := reward.Verdict{Status: reward.Wrong}
		if correct[i] == '1' {
			v.Status = reward.Correct
		}
		verdicts = append(verdicts, v)
		s := rollout.Sample{Prompt: i / 4, IDs: make([]int32, 1+i), Text: answers[i : i+1]}
		if i%3 == 0 {
			s.Finish = model.Truncated
		}
		r.Samples = append(r.Samples, s)
	}
	r.count(prompts, verdicts, []int{1, 2, 4}, func(s rollout.Sample) string { return strings.Trim(s.Text, ".") })
	if len(r.Sources) != 2 || r.Sources[0].Source != "a" || r.Sources[1].Source != "b" {
		t.Fatalf("sources %+v", r.Sources)
	}
	got := r.Metrics()
	for name, want := range map[string]float64{
		"val-core/a/mean@4":      (2./4 + 0) / 2,
		"val-core/a/best@1/mean": (2./4 + 0) / 2,
		// a's prompts: 1 − C(2,2)/C(4,2) = 5/6 and 0; b's: 1 − C(1,2)/C(4,2) = 1.
		"val-core/a/best@2/mean": 5. / 12,
		"val-core/a/best@4/mean": 1. / 2,
		"val-core/b/best@2/mean": 1,
		"val-core/b/mean@4":      3. / 4,
		// a's first prompt: pp is correct, qq is wrong; among all four p occurs first.
		"val-core/a/maj@2/mean":        1. / 4,
		"val-core/a/maj@4/mean":        1. / 2,
		"val-core/b/maj@4/mean":        1,
		"val-core/b/maj@2/mean":        1, // xx is correct; y occurs before z and is correct
		"eval_completions/mean_length": 6.5, "eval_completions/clipped_ratio": 1. / 3,
	} {
		if v, ok := got[name]; !ok {
			t.Errorf("no metric %s", name)
		} else {
			near(t, name, v, want, 1e-15)
		}
	}
	// b's samples have the indices 4 to 7 and have 5, 6, 7 and 8 tokens; sample 6 is truncated.
	near(t, "length of b", r.Sources[1].MeanLength, 6.5, 1e-15)
	near(t, "truncated of b", r.Sources[1].Truncated, 1./4, 1e-15)
}

func TestEvaluationIsDeterministicWhateverTheChunk(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	prompts, err := g.Data(0)
	if err != nil {
		t.Fatal(err)
	}
	prompts[3].Source = "other"
	run := func(seed uint64, chunk int) *EvalResult {
		progress := ""
		e := Evaluation{
			Sampler: g.Sampler, Seed: seed, Reward: g.Reward, N: 4, K: []int{1, 4}, Chunk: chunk,
			Extract:  func(s rollout.Sample) string { return s.Text },
			Progress: func(done, total int) { progress += fmt.Sprintf("%d/%d ", done, total) },
		}
		r, err := e.Run(context.Background(), prompts)
		if err != nil {
			t.Fatal(err)
		}
		if chunk == 3 && progress != "3/4 4/4 " {
			t.Errorf("progress %q", progress)
		}
		return r
	}
	a, b := run(1, 0), run(1, 3)
	if !reflect.DeepEqual(a, b) {
		t.Error("results depend on the chunk")
	}
	if reflect.DeepEqual(a.Samples, run(2, 0).Samples) {
		t.Error("the seed has no effect")
	}
	if len(a.Samples) != 16 || len(a.Sources) != 2 || a.Sources[0].Prompts != 3 {
		t.Errorf("%d samples of %+v", len(a.Samples), a.Sources)
	}
}

func TestEvaluationRefusesBadFields(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	prompts, _ := g.Data(0)
	for want, e := range map[string]Evaluation{
		"Evaluation.K[0] is 3":             {K: []int{3}, N: 2},
		`Evaluation.Correct is "accuracy"`: {Correct: "accuracy"},
	} {
		e.Sampler, e.Reward = g.Sampler, g.Reward
		e.Progress = func(int, int) { t.Errorf("%s: found after sampling", want) }
		if _, err := e.Run(context.Background(), prompts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %s", err, want)
		}
	}
	_, err := (&Evaluation{Sampler: g.Sampler}).Run(context.Background(), prompts)
	if err == nil || !strings.Contains(err.Error(), "Evaluation.Reward is nil") {
		t.Errorf("without rewards the error is %v", err)
	}
	e := Evaluation{Sampler: g.Sampler, Reward: g.Reward}
	if _, err := e.Run(context.Background(), nil); err == nil {
		t.Error("an evaluation of nothing succeeds")
	}
}
