package rl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
)

// The state of GRPO in a checkpoint.
const (
	stateFile    = "rl.json"
	stateVersion = 1
)

// state is what stateFile keeps.
type state struct {
	Version   int   `json:"version"`
	Step      int   `json:"step"`
	Batches   int   `json:"batches,omitempty"` // of prompts; 0 means one a step
	NumTokens int64 `json:"num_tokens"`
	// Alarms is what alarms compare a step with. Checkpoints of before that lack it.
	Alarms history `json:"alarms,omitzero"`
}

// settings are the fields that decide the bits of a run, for the checkpoint to
// refuse another run's. Functions are not among them.
type settings struct {
	G           int         `json:"num_generations"`
	MaxTokens   int         `json:"max_completion_length"`
	Temperature float64     `json:"temperature"`
	TopK        int         `json:"top_k,omitempty"`
	TopP        float64     `json:"top_p,omitempty"`
	Stop        []int32     `json:"stop"`
	Scaling     Scaling     `json:"scale_rewards"`
	StdEps      float64     `json:"std_eps"`
	SkipZeroStd bool        `json:"skip_zero_std"`
	Mask        bool        `json:"mask_truncated_completions"`
	Dynamic     int         `json:"max_num_gen_batches,omitempty"`
	Shuffle     bool        `json:"shuffle"`
	Estimator   Estimator   `json:"adv_estimator,omitempty"`
	Aggregation Aggregation `json:"multi_objective_aggregation,omitempty"`
	RewardKL    float64     `json:"reward_kl,omitempty"`
	Objective   Objective   `json:"objective"`
	LossType    LossType    `json:"loss_type"`
	// TRL says that the run's loss is one that was brought to TRL's definition.
	// Checkpoints of before that lack it, so that their runs do not go on with
	// another loss.
	TRL         bool    `json:"trl_loss,omitempty"`
	Iterations  int     `json:"num_iterations"`
	MiniBatches int     `json:"mini_batches"`
	RefSync     int     `json:"ref_sync"`
	RefMix      float64 `json:"ref_mix,omitempty"`
	Replay      bool    `json:"router_replay,omitempty"`
	// OffPolicy is there where it corrects something.
	OffPolicy OffPolicy `json:"off_policy,omitzero"`
	// Drawing is of the model that draws for the trained one; nil where that draws itself.
	Drawing *drawing        `json:"rollout_model,omitempty"`
	Critic  *criticSettings `json:"critic,omitempty"`
	Rewards []weight        `json:"reward_funcs"`
	Own     any             `json:"own"` // the caller's Trainer.Settings
}

// weight is a reward function's name and its weight in the total, 0 if it is
// MetricOnly.
type weight struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
}

func rewardWeights(s *reward.Suite) []weight {
	var out []weight
	for _, f := range s.Funcs {
		w := cmp.Or(f.Weight, 1)
		if f.MetricOnly {
			w = 0
		}
		out = append(out, weight{f.Name, w})
	}
	return out
}

// check refuses fields that no run could mean or that have changed since the
// first step, and a GRPO that is closed.
func (g *GRPO) check() error {
	if g.closed {
		return errors.New("rl: the GRPO is closed")
	}
	if err := g.validate(); err != nil {
		return fmt.Errorf("rl: %w", err)
	}
	if g.prepared {
		return unchanged(g.began, g.fixed())
	}
	return nil
}

// prepare makes a run ready for its next step. It checks the fields; the first
// time it also asks for the prompts of the first step, borrows the Trainer, makes
// the reference model, and resumes: from Trainer.Dir it reads the newest checkpoint
// with stateFile and referenceFile, and the logs, which it repairs. It
// writes nothing else. Preflight needs check alone and reads no file.
func (g *GRPO) prepare() (err error) {
	if err := g.check(); err != nil || g.prepared {
		return err
	}
	if _, err := g.prompts(g.batches); err != nil { // those of a new run: it is refused before it has files
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.release())
		}
	}()
	if err := g.borrow(); err != nil {
		return err
	}
	if _, err := g.Trainer.Resume(); err != nil {
		return err
	}
	if err := g.openLogs(); err != nil {
		return err
	}
	g.prepared, g.began = true, g.fixed()
	return nil
}

// borrow has the Trainer record this run in its checkpoints: it sets Settings and
// adds to Extra, and alarms see what Eval measures. It makes the reference model, whose file
// is one of Extra. release gives the Trainer back.
func (g *GRPO) borrow() error {
	t := g.Trainer
	own, extra, eval := t.Settings, t.Extra, t.Eval
	g.restore = func() error {
		t.Settings, t.Extra, t.Eval = own, extra, eval
		return t.AcceptSettings()
	}
	t.Settings = g.settings(own)
	if eval != nil {
		t.Eval = func(ctx context.Context, step int) (map[string]float64, error) {
			m, err := eval(ctx, step)
			if err == nil {
				g.evaluated(m)
			}
			return m, err
		}
	}
	t.Extra = append(slices.Clone(extra), train.ExtraFile{Name: stateFile, Write: g.writeState, Read: g.readState})
	if g.Objective.Beta != 0 || g.RewardKL != 0 {
		ref, err := newReference(t)
		if err != nil {
			return err
		}
		g.reference = ref
		t.Extra = append(t.Extra, ref.files()...)
	}
	if g.Critic.own() {
		files, err := g.Critic.Trainer.Nested(criticPrefix)
		if err != nil {
			return fmt.Errorf("rl: critic: %w", err)
		}
		t.Extra = append(t.Extra, files...)
	}
	return nil
}

// settings are those of the run, with the caller's own.
func (g *GRPO) settings(own any) settings {
	policy := g.Sampler.Policy()
	if policy.Sampling.TopP == 1 {
		policy.Sampling.TopP = 0 // the same
	}
	estimator, aggregation := g.Estimator, g.Aggregation
	if estimator == EstimatorGRPO {
		estimator = ""
	}
	if aggregation == SumThenNormalize {
		aggregation = ""
	}
	return settings{
		Estimator: estimator, Aggregation: aggregation, RewardKL: g.RewardKL,
		G: g.groupSize(), MaxTokens: policy.MaxTokens, Temperature: g.temperature(), Stop: policy.Stop,
		TopK: policy.Sampling.TopK, TopP: policy.Sampling.TopP,
		Scaling: cmp.Or(g.Scaling, g.Estimator.scaling()), StdEps: g.StdEps,
		SkipZeroStd: g.SkipZeroStd, Mask: g.MaskTruncated,
		Dynamic: g.DynamicSampling, Shuffle: g.Shuffle,
		Objective: g.Objective.recorded(), LossType: cmp.Or(g.LossType, LossDAPO),
		TRL:        g.Objective.EntropyCoef != 0 || g.LossType == LossGRPO && (g.MaskTruncated || g.MiniBatches > 1),
		Iterations: cmp.Or(g.NumIterations, 1), MiniBatches: cmp.Or(g.MiniBatches, 1), RefSync: g.RefSync,
		OffPolicy: g.OffPolicy.recorded(),
		Replay:    g.RouterReplay, Drawing: drawingOf(policy.Drawn),
		RefMix: g.RefMix, Critic: g.Critic.settings(),
		Rewards: rewardWeights(g.Reward), Own: own,
	}
}

// openLogs opens the log of verdicts, and says what it repaired, and the log of those who
// watch, in Trainer.Dir if that is set.
func (g *GRPO) openLogs() (err error) {
	t := g.Trainer
	if t.Dir == "" {
		return nil
	}
	var repairs []error
	if g.verdicts, repairs, err = openVerdictLog(t.Dir, g.step, g.DynamicSampling > 1); err != nil {
		return err
	}
	for _, r := range repairs {
		t.Logger().Warn("log of verdicts repaired", "file", g.verdicts.f.Name(), "damage", r)
	}
	g.verdicts.rescore = t.AllowDifferentPath
	g.log, err = openLog(t.Dir, g.step)
	return err
}

// Close ends a run: it gives back the memory of the reference model and closes
// its logs. Trainer and Generator stay the caller's, the Trainer as
// it was, but for its steps.
func (g *GRPO) Close() error {
	g.closed = true
	return g.release()
}

func (g *GRPO) release() (err error) {
	if g.restore != nil {
		err = g.restore()
		g.restore = nil
	}
	g.reference.free()
	g.reference = nil
	return errors.Join(err, g.verdicts.close(), g.log.close())
}

func (g *GRPO) writeState(w io.Writer) error {
	return json.NewEncoder(w).Encode(state{stateVersion, g.step, g.batches, g.numTokens, g.history})
}

func (g *GRPO) readState(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if s.Version != stateVersion {
		return fmt.Errorf("version %d, this program knows %d", s.Version, stateVersion)
	}
	if g.Steps > 0 && s.Step > g.Steps {
		return fmt.Errorf("GRPO.Steps is %d, the checkpoint has %d", g.Steps, s.Step)
	}
	g.step, g.batches, g.numTokens = s.Step, cmp.Or(s.Batches, s.Step), s.NumTokens
	g.history = s.Alarms
	return nil
}
