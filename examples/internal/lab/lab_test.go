package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

func TestQuickLearnsFromNoNumbersOfAHeldOutProblem(t *testing.T) {
	if Quick.Problems < 128 || Quick.Samples < 16 {
		t.Errorf("%d problems, %d samples of each, are evaluated", Quick.Problems, Quick.Samples)
	}
	held := map[string]bool{}
	numbers := func(p rollout.Prompt) string { return fmt.Sprint(p.Answer.(reward.CountdownProblem).Numbers) }
	for _, p := range Quick.heldOut() {
		held[numbers(p)] = true
	}
	g := GRPO(&train.Trainer{Seed: 1}, nil, Quick)
	for step := range Quick.RLSteps {
		prompts, err := g.Data(step)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range prompts {
			if held[numbers(p)] {
				t.Errorf("step %d shows the numbers of a held-out problem: %s", step, p.Text)
			}
		}
	}
	batches := Base{Seed: 1, Scale: Quick}.batches()
	for step := range 50 {
		for _, ids := range batches.Batch(step) {
			var n [3]int
			if read, _ := fmt.Sscanf(countdown.Decode(ids), "<bos>%d %d %d:", &n[0], &n[1], &n[2]); read < 3 {
				continue // only traces have a prompt
			}
			slices.Sort(n[:])
			if held[fmt.Sprint(n)] {
				t.Errorf("step %d of the base text shows the numbers of a held-out problem: %v", step, n)
			}
		}
	}
}

func TestTrainingShowsEveryProblemOnceAPassAndNoneHeldOut(t *testing.T) {
	split := Full.Split()
	held := map[string]bool{}
	for _, p := range Prompts(split.Test, splitSeed) {
		held[problem(p)] = true
	}
	problems := split.Train[:90]
	const perStep = 20
	data := TrainingPrompts(problems, perStep, 5)
	seen, texts := map[string]int{}, map[string]bool{}
	const passes = 2
	for step := range passes * len(problems) / perStep {
		prompts, err := data(step)
		if err != nil {
			t.Fatal(err)
		}
		again, err := TrainingPrompts(problems, perStep, 5)(step)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(prompts, again); diff != "" {
			t.Fatalf("step %d is not a function of the step: %s", step, diff)
		}
		for _, p := range prompts {
			seen[problem(p)]++
			texts[p.Text] = true
			if held[problem(p)] {
				t.Errorf("%s is held out", p.Text)
			}
		}
	}
	if len(seen) != len(problems) {
		t.Errorf("%d of %d problems", len(seen), len(problems))
	}
	for p, n := range seen {
		if n != passes {
			t.Errorf("%s was shown %d times in %d passes", p, n, passes)
		}
	}
	if len(texts) <= len(problems) {
		t.Error("the numbers are in the same order in every pass")
	}
}

func problem(p rollout.Prompt) string {
	c := p.Answer.(reward.CountdownProblem)
	return cmp.Diff(nil, c)
}

func TestRewardIsCorrectnessAndATenthForFormat(t *testing.T) {
	p := rollout.Prompt{Answer: reward.CountdownProblem{Numbers: []int{19, 29, 16}, Target: 32}}
	want := map[string]float64{
		"<think>yes</think><answer>19-16+29</answer>": 1.1,
		"<think>yes</think><answer>29+19-16</answer>": 1.1,
		"<think>yes<answer>19-16+29</answer>":         1,
		"<think>no</think><answer>19+16-29</answer>":  0.1,
		"<think>no</think><answer>32</answer>":        0.1,
		"no":                                          0,
	}
	for text, total := range want {
		scores, err := Reward().Score(t.Context(), []reward.Sample{{Completion: text, Answer: p.Answer}})
		if err != nil {
			t.Fatal(err)
		}
		if got := scores.Totals[0].Value; got != total {
			t.Errorf("%q: %g, want %g", text, got, total)
		}
	}
}

func TestEvaluationOfTheBaseIsKeptWhileWeightsAndScaleLast(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sc := Scale{Problems: 2, Samples: 2, PassAt: 2, MaxTokens: 8, Slots: 4}
	path := filepath.Join(t.TempDir(), "evaluation.json")
	evaluate := func(seed uint64, sc Scale) (s *Before, sampled bool) {
		m, err := model.New(b, Student(), seed)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Free()
		gen, err := NewGenerator(m, sc)
		if err != nil {
			t.Fatal(err)
		}
		defer gen.Close()
		s, err = EvaluateBase(t.Context(), path, m, gen, sc, func(int, int) { sampled = true })
		if err != nil {
			t.Fatal(err)
		}
		return s, sampled
	}
	first, sampled := evaluate(1, sc)
	if !sampled || !strings.HasPrefix(first.First[0].Text, "<bos>") {
		t.Errorf("first: sampled %v, transcript %q", sampled, first.First[0].Text)
	}
	sc.Slots, sc.RLSteps = 3, 9 // these do not change the evaluation
	if kept, sampled := evaluate(1, sc); sampled {
		t.Error("the saved evaluation was not used")
	} else if diff := cmp.Diff(first, kept); diff != "" {
		t.Errorf("the saved evaluation differs: %s", diff)
	}
	if _, sampled := evaluate(2, sc); !sampled {
		t.Error("an evaluation of other weights was used")
	}
	sc.MaxTokens = 9
	if _, sampled := evaluate(2, sc); !sampled {
		t.Error("an evaluation of another scale was used")
	}
	if err := os.WriteFile(path, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	m, err := model.New(b, Student(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if _, err := EvaluateBase(t.Context(), path, m, nil, sc, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error for a damaged file: %v", err)
	}
}
