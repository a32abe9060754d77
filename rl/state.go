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

// state is the content of stateFile.
type state struct {
	Version   int   `json:"version"`
	Step      int   `json:"step"`
	Batches   int   `json:"batches,omitempty"` // number of batches of prompts; 0 means one in each step
	NumTokens int64 `json:"num_tokens"`
	// Alarms holds the earlier metrics that alarms compare a step with. Checkpoints of older
	// versions lack it.
	Alarms history `json:"alarms,omitzero"`
}

// settings holds the fields that affect the results of a run, except functions. A run with
// other settings cannot resume from the checkpoint.
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
	// TRL is set if the run uses a loss whose definition was changed to TRL's. Checkpoints
	// of older versions lack it, so their runs cannot resume with a different loss.
	TRL         bool    `json:"trl_loss,omitempty"`
	Iterations  int     `json:"num_iterations"`
	MiniBatches int     `json:"mini_batches"`
	RefSync     int     `json:"ref_sync"`
	RefMix      float64 `json:"ref_mix,omitempty"`
	Replay      bool    `json:"router_replay,omitempty"`
	// OffPolicy is omitted if it corrects nothing.
	OffPolicy OffPolicy `json:"off_policy,omitzero"`
	// RolloutModel describes the model that generates the rollouts; nil if it is the trained
	// model itself.
	RolloutModel *rolloutModel   `json:"rollout_model,omitempty"`
	Critic       *criticSettings `json:"critic,omitempty"`
	Rewards      []weight        `json:"reward_funcs"`
	Own          any             `json:"own"` // the caller's Trainer.Settings
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

// check reports an invalid field, a field that has changed since the first step, or a
// closed GRPO.
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

// prepare makes a run ready for its next step. It checks the fields. The first time, it also
// requests the prompts of the first step, borrows the Trainer, makes the reference model and
// resumes: it reads the newest checkpoint in Trainer.Dir, with stateFile and referenceFile,
// and opens the logs, which it repairs. It writes nothing else. Preflight calls only check,
// which reads no file.
func (g *GRPO) prepare() (err error) {
	if err := g.check(); err != nil || g.prepared {
		return err
	}
	if _, err := g.prompts(g.batches); err != nil { // invalid prompts fail before the run creates files
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

// borrow sets the Trainer's Settings and Extra so that its checkpoints include the state of
// this run, and wraps its Eval so that alarms see the metrics of evaluations. It also makes
// the reference model, whose file is in Extra. release restores the Trainer.
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

// settings returns the settings of the run. own is the caller's Trainer.Settings.
func (g *GRPO) settings(own any) settings {
	policy := g.Sampler.Policy()
	if policy.Sampling.TopP == 1 {
		policy.Sampling.TopP = 0 // 0 means 1
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
		Replay:    g.RouterReplay, RolloutModel: rolloutModelOf(policy.Drawn),
		RefMix: g.RefMix, Critic: g.Critic.settings(),
		Rewards: rewardWeights(g.Reward), Own: own,
	}
}

// openLogs opens the log of verdicts and the log for watching in Trainer.Dir, if that is
// set. It logs a warning for each repair of the log of verdicts.
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

// Close ends a run: it frees the reference model and closes the logs. It restores the
// Trainer's fields; the Trainer keeps its weights, optimizer state and step count. It does
// not close the Trainer or the Sampler.
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
		return fmt.Errorf("version %d, this program reads version %d", s.Version, stateVersion)
	}
	if g.Steps > 0 && s.Step > g.Steps {
		return fmt.Errorf("GRPO.Steps is %d, but the checkpoint is of step %d", g.Steps, s.Step)
	}
	g.step, g.batches, g.numTokens = s.Step, cmp.Or(s.Batches, s.Step), s.NumTokens
	g.history = s.Alarms
	return nil
}
