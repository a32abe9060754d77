package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
)

// OutcomeVersion is the version of the JSON keys of an Outcome.
const OutcomeVersion = 3

// Outcome is the result of a run of r1zero. Times are those of this process: a resumed run
// does not count the time before.
type Outcome struct {
	Version int `json:"version"`
	Before
	After
	Seconds        float64  `json:"seconds"`
	BaseSeconds    float64  `json:"base_seconds"`
	EvalSeconds    float64  `json:"eval_seconds"`    // both evaluations
	RLSeconds      float64  `json:"rl_seconds"`      // all of GRPO with checkpoints; the next two are parts of it
	RolloutSeconds float64  `json:"rollout_seconds"` // sampling completions and rewards
	UpdateSeconds  float64  `json:"update_seconds"`  // scoring, gradients and optimizer
	RLSteps        int      `json:"rl_steps"`
	Params         int      `json:"params"`
	ActiveParams   int64    `json:"active_params"`
	LogpDiffMax    *float64 `json:"logp_diff_max"` // null if in no step a group had different rewards
	MaxVioMean     float64  `json:"maxvio_mean"`
	WeightsSHA256  string   `json:"weights_sha256"`
	Seed           uint64   `json:"seed"`
	Control        string   `json:"control,omitempty"`
	Out            string   `json:"out"`
}

// balanceWindows is the number of windows over which the printed MaxVio is averaged.
const balanceWindows = 10

// Trained sets and prints the size of the base model m, which was trained in dir, and the
// balance of its experts.
func (o *Outcome) Trained(w io.Writer, m *model.Model, dir, machine string) error {
	balance, err := ReadBalance(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	o.MaxVioMean = balance.Last(balanceWindows)
	fmt.Fprintf(w, "balance of the experts: MaxVio %.2f at the start of base training, %.2f at its end "+
		"(mean of %d windows of %d assignments a layer)\n",
		balance.First(balanceWindows), o.MaxVioMean, balanceWindows, windowSize)
	_, o.ActiveParams = m.Config.NumParams()
	o.Params = m.Params.Len()
	fmt.Fprintf(w, "model: %d parameters with its prediction module, %d active per token without; %s\n", o.Params,
		o.ActiveParams, machine)
	return nil
}

// Compare sets the evaluation after GRPO, writes it to dir, the folder of the GRPO run, and
// prints both evaluations.
func (o *Outcome) Compare(w io.Writer, dir string, after Summary) error {
	o.After = After{after.Pass1, after.Pass16, after.Maj16, after.Length, after.Format, after.Tries, after.Checks}
	if err := checkpoint.WriteAtomic(filepath.Join(dir, evaluationFile), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(o.After)
	}); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nbefore: %s\nafter:  %s\npass@1 %+.1f points", o.Before, after, 100*(after.Pass1-o.Pass1))
	if d := o.LogpDiffMax; d != nil {
		fmt.Fprintf(w, "; rollout and trainer log-probabilities differ by at most %g", *d)
	}
	fmt.Fprintf(w, "\n\nGRPO changed: right answers %.1f%% → %.1f%%; in an answer, tries %.2f → %.2f, "+
		"words of self-checking (yes, no, wait) %.2f → %.2f\n",
		100*o.Pass1, 100*after.Pass1, o.Tries, after.Tries, o.Checks, after.Checks)
	i, found := Contrast(o.First, after.First)
	what := "the first held-out problem whose first answer was wrong before and is right after"
	if !found {
		what = "no held-out problem's first answer was wrong before and is right after; the first problem"
	}
	fmt.Fprintf(w, "\n%s, before:\n  %s\nand after:\n  %s\n", what, o.First[i].Text, after.First[i].Text)
	return nil
}

// Finish saves m in Out, sets the remaining results of the run, which started at began, and
// prints the times.
func (o *Outcome) Finish(w io.Writer, m *model.Model, began time.Time) (err error) {
	dir := filepath.Join(o.Out, ModelFolder)
	if err := Save(dir, m); err != nil {
		return err
	}
	if o.WeightsSHA256, err = train.WeightsSHA256(m.Params.All()); err != nil {
		return err
	}
	o.Version, o.Seconds = OutcomeVersion, time.Since(began).Seconds()
	fmt.Fprintf(w, "\ntime: base %.0f s, evaluations %.0f s, GRPO %.0f s (rollouts %.0f s, updates %.0f s), all %.0f s\n"+
		"weights %s in %s\n", o.BaseSeconds, o.EvalSeconds, o.RLSeconds, o.RolloutSeconds, o.UpdateSeconds, o.Seconds,
		o.WeightsSHA256[:16], dir)
	return nil
}

// Learned sets the results that are computed from the metrics of the GRPO run in dir.
func (o *Outcome) Learned(dir string) error {
	rows, err := run.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	const difference = rl.MetricSamplingDifferenceMax
	switch most, ok := rows.Max(difference); {
	case math.IsNaN(most):
		return fmt.Errorf("%s: %s is not finite", dir, difference)
	case ok:
		o.LogpDiffMax = &most
	}
	return nil
}
