package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// Summary is the summary of an evaluation.
type Summary struct {
	Pass1, Pass16, Maj16 float64
	Length               float64 // mean tokens of a completion
	Truncated            float64 // share of truncated completions
	Format               float64 // share of completions of the form <think>…</think><answer>…</answer>
	Tries                float64 // mean number of results that a completion compares with the target
	Checks               float64 // mean number of self-check words (yes, no, wait) in a completion
	First                []Completion
}

// Completion is the first completion of a held-out problem.
type Completion struct {
	Text    string `json:"text"` // with its prompt
	Correct bool   `json:"correct"`
}

// String returns the summary as a line of text.
func (s Summary) String() string {
	return fmt.Sprintf("pass@1 %.1f%%, pass@16 %.1f%%, maj@16 %.1f%%, %.1f tokens (%.1f%% truncated), format %.1f%%, "+
		"%.2f tries, %.2f self-check words",
		100*s.Pass1, 100*s.Pass16, 100*s.Maj16, s.Length, 100*s.Truncated, 100*s.Format, s.Tries, s.Checks)
}

// Summarize summarises an evaluation of scale sc.
func Summarize(r *rl.EvalResult, sc Scale) Summary {
	e := r.Sources[0]
	s := Summary{Pass1: e.Mean, Pass16: e.Pass[sc.PassAt], Maj16: e.Maj[sc.PassAt], Length: e.MeanLength,
		Truncated: e.Truncated}
	n := float64(len(r.Samples))
	for _, x := range r.Samples {
		c := countdown.Count(x.IDs)
		s.Checks += float64(c.Yes+c.No+c.Wait) / n
		s.Tries += float64(c.Tries) / n
	}
	verdicts := map[string][]reward.Verdict{}
	for i, name := range r.Scores.Functions {
		verdicts[name] = r.Scores.Verdicts[i]
		if name == formatReward {
			s.Format = float64(r.Scores.Counts[i][reward.Correct]) / n
		}
	}
	for i, p := range sc.heldOut() {
		x := i * r.N
		s.First = append(s.First, Completion{
			Text:    countdown.Decode(slices.Concat(p.IDs, r.Samples[x].IDs)),
			Correct: verdicts[answerReward][x].Status == reward.Correct,
		})
	}
	return s
}

// Contrast returns the index of the first held-out problem whose first completion is wrong
// in before and correct in after. It returns false if there is none.
func Contrast(before, after []Completion) (int, bool) {
	for i := range before {
		if !before[i].Correct && after[i].Correct {
			return i, true
		}
	}
	return 0, false
}

// Before is the evaluation of the base model, with the JSON keys of the results.
type Before struct {
	Pass1     float64      `json:"pass1_before"`
	Pass16    float64      `json:"pass16_before"`
	Maj16     float64      `json:"maj16_before"`
	Length    float64      `json:"length_before"`
	Truncated float64      `json:"truncated_before"`
	Format    float64      `json:"format_before"`
	Tries     float64      `json:"tries_before"`
	Checks    float64      `json:"self_checks_before"`
	First     []Completion `json:"-"`
}

// String returns the evaluation as a line of text.
func (b Before) String() string { return Summary(b).String() }

// After is the evaluation after GRPO, with the JSON keys of the results.
type After struct {
	Pass1After  float64 `json:"pass1_after"`
	Pass16After float64 `json:"pass16_after"`
	Maj16After  float64 `json:"maj16_after"`
	LengthAfter float64 `json:"length_after"`
	FormatAfter float64 `json:"format_after"`
	TriesAfter  float64 `json:"tries_after"`
	ChecksAfter float64 `json:"self_checks_after"`
}

// evaluationFile is the name of the file with an evaluation in the folder of a phase.
const evaluationFile = "evaluation.json"

// cached is the content of the file with a base model's evaluation.
type cached struct {
	Weights string       `json:"weights_sha256"`
	Scale   Scale        `json:"scale"`
	First   []Completion `json:"first"`
	Before
}

// EvaluateBase evaluates a base model m and writes the result to path. If path has an
// evaluation with the same weights and scale, it returns that instead.
func EvaluateBase(ctx context.Context, path string, m *model.Model, g *model.Generator, sc Scale,
	progress func(done, total int)) (*Before, error) {
	sum, err := train.WeightsSHA256(m.Params.All())
	if err != nil {
		return nil, err
	}
	key := Scale{Task: sc.Task, Problems: sc.Problems, Samples: sc.Samples, MaxTokens: sc.MaxTokens, PassAt: sc.PassAt}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		var c cached
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if c.Weights == sum && c.Scale == key && len(c.First) == sc.Problems {
			c.Before.First = c.First
			return &c.Before, nil
		}
	}
	r, err := Evaluate(ctx, g, sc, progress)
	if err != nil {
		return nil, err
	}
	b := Before(Summarize(r, sc))
	err = checkpoint.WriteAtomic(path, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(cached{Weights: sum, Scale: key, First: b.First, Before: b})
	})
	return &b, err
}

// Size describes the size of the task and of GRPO.
func (s Scale) Size() string {
	return fmt.Sprintf("numbers up to %d, %d problems, %d of them held out, %d steps of GRPO with %d × %d completions",
		s.Task.Resolved().MaxNumber, len(s.Task.Problems()), s.Problems, s.RLSteps, s.Prompts, s.Group)
}
