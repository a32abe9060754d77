package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
)

// Summary is the summary of an evaluation.
type Summary struct {
	Pass1, Pass16, Maj16 float64
	Length               float64 // mean tokens of a completion
	Truncated            float64 // share of completions
	Checks               float64 // self-check words (yes, no, wait) in a completion
	Transcript           string  // the first completion of the first problem
}

// String returns the summary as a line of text.
func (s Summary) String() string {
	return fmt.Sprintf("pass@1 %.1f%%, pass@16 %.1f%%, maj@16 %.1f%%, %.1f tokens (%.1f%% truncated), "+
		"%.2f self-check words",
		100*s.Pass1, 100*s.Pass16, 100*s.Maj16, s.Length, 100*s.Truncated, s.Checks)
}

// Summarize summarises an evaluation of scale sc.
func Summarize(r *rl.EvalResult, sc Scale) Summary {
	e := r.Sources[0]
	s := Summary{Pass1: e.Mean, Pass16: e.Pass[sc.PassAt], Maj16: e.Maj[sc.PassAt], Length: e.MeanLength,
		Truncated: e.Truncated}
	for _, x := range r.Samples {
		c := countdown.Count(x.IDs)
		s.Checks += float64(c.Yes+c.No+c.Wait) / float64(len(r.Samples))
	}
	p := Prompts(Split().Test[:1], splitSeed)[0]
	s.Transcript = countdown.Decode(append(append([]int32{}, p.IDs...), r.Samples[0].IDs...))
	return s
}

// Before is the base model's evaluation, as the results name it.
type Before struct {
	Pass1      float64 `json:"pass1_before"`
	Pass16     float64 `json:"pass16_before"`
	Maj16      float64 `json:"maj16_before"`
	Length     float64 `json:"length_before"`
	Truncated  float64 `json:"truncated_before"`
	Checks     float64 `json:"self_checks_before"`
	Transcript string  `json:"-"`
}

// String returns the evaluation as a line of text.
func (b Before) String() string { return Summary(b).String() }

// After is the evaluation after GRPO, with the JSON keys of the results.
type After struct {
	Pass1After  float64 `json:"pass1_after"`
	Pass16After float64 `json:"pass16_after"`
	Maj16After  float64 `json:"maj16_after"`
	LengthAfter float64 `json:"length_after"`
	ChecksAfter float64 `json:"self_checks_after"`
}

// evaluationFile is the name of the file with an evaluation in the folder of a phase.
const evaluationFile = "evaluation.json"

// cached is the content of the file with a base model's evaluation.
type cached struct {
	Weights    string `json:"weights_sha256"`
	Scale      Scale  `json:"scale"`
	Transcript string `json:"transcript"`
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
	key := Scale{Problems: sc.Problems, Samples: sc.Samples, MaxTokens: sc.MaxTokens, PassAt: sc.PassAt}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		var c cached
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if c.Weights == sum && c.Scale == key {
			c.Before.Transcript = c.Transcript
			return &c.Before, nil
		}
	}
	r, err := Evaluate(ctx, g, sc, progress)
	if err != nil {
		return nil, err
	}
	b := Before(Summarize(r, sc))
	err = checkpoint.WriteAtomic(path, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(cached{Weights: sum, Scale: key, Transcript: b.Transcript, Before: b})
	})
	return &b, err
}
