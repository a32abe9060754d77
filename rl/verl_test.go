package rl

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/rl/rollout"
)

// verlLoss is the content of testdata/verl_loss.json, computed by verl's core algorithms.
type verlLoss struct {
	Tokens     []int      `json:"tokens"`
	LogProb    []float64  `json:"log_prob"`
	OldLogProb []float64  `json:"old_log_prob"`
	RefLogProb []float64  `json:"ref_log_prob"`
	Advantage  []float64  `json:"advantage"`
	Cases      []verlCase `json:"cases"`
}

type verlCase struct {
	Loss        string             `json:"loss"`
	LossAggMode string             `json:"loss_agg_mode"`
	ClipLow     float64            `json:"clip_ratio_low"`
	ClipHigh    float64            `json:"clip_ratio_high"`
	ClipC       float64            `json:"clip_ratio_c"`
	TauPositive float64            `json:"tau_pos"`
	TauNegative float64            `json:"tau_neg"`
	DROBeta     float64            `json:"dro_beta"`
	KL          Divergence         `json:"kl"`
	Value       float64            `json:"value"`
	GradLogProb []float64          `json:"grad_log_prob"`
	Clipped     map[string]float64 `json:"clipped"`
}

// objective returns an Objective with the same settings.
func (c verlCase) objective() Objective {
	o := Objective{EpsilonLow: c.ClipLow, EpsilonHigh: c.ClipHigh, DualClip: c.ClipC,
		TauPositive: c.TauPositive, TauNegative: c.TauNegative, MirrorTau: c.DROBeta}
	switch c.Loss {
	case "gspo":
		o.Level = LevelSequenceToken
	case "dro":
		o.Surrogate = SurrogateMirrorDescent
	case "cispo", "sapo", "reinforce":
		o.Surrogate = Surrogate(c.Loss)
	case "kl":
		o.Beta, o.Divergence = 1, c.KL
	}
	return o
}

// lossType returns the LossType of verl's loss_agg_mode.
func (c verlCase) lossType() LossType {
	return map[string]LossType{
		"token-mean": LossDAPO, "seq-mean-token-sum": LossLUSPO, "seq-mean-token-mean": LossGRPO,
	}[c.LossAggMode]
}

// Losses, gradients and shares of clipped tokens agree with verl's code, for advantages that
// differ within a completion.
func TestLossesAreVerls(t *testing.T) {
	text, err := os.ReadFile("testdata/verl_loss.json")
	if err != nil {
		t.Fatal(err)
	}
	var f verlLoss
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	b := openCPU(t)
	for _, c := range f.Cases {
		o := c.objective()
		if err := o.validate(); err != nil {
			t.Errorf("%s: %v", c.Loss, err)
		}
		row := lossCase{logProb: f.LogProb, entropy: make([]float64, len(f.LogProb)), old: f.OldLogProb,
			ref: f.RefLogProb, advantage: f.Advantage, mean: make([]float64, len(f.LogProb)), lengths: f.Tokens}
		if c.Loss == "kl" {
			row.advantage = make([]float64, len(f.LogProb))
		}
		var clip clipStats
		at, n := 0, normalizer{updates: 1, kept: len(f.Tokens), rolloutTokens: len(f.LogProb)}
		for _, length := range f.Tokens {
			x := newTrainSample(rollout.Prompt{IDs: []int32{0}}, &rollout.Sample{IDs: make([]int32, length),
				LogProbs: f.OldLogProb[at : at+length]}, f.Advantage[at:at+length])
			clip.add(o, o.ratiosOf(f.LogProb[at:at+length], x.LogProbs), x.advantages)
			for range length {
				row.weight = append(row.weight, c.lossType().weight(n, length))
			}
			at += length
		}
		name := fmt.Sprintf("%s %s, %s", c.Loss, c.KL, c.LossAggMode)
		loss, grad, _ := row.evaluate(t, b, func(tokens Tokens) tensor.Tensor { return o.Loss(tokens) })
		near(t, name+": loss", loss, c.Value, 1e-9)
		for i, want := range c.GradLogProb {
			near(t, fmt.Sprintf("%s: gradient %d", name, i), grad[i], want, 1e-9)
		}
		if c.Loss == "vanilla" || c.Loss == "gspo" { // counted in float32
			near(t, name+": clipped", (clip.low+clip.high)/clip.units, c.Clipped["actor/pg_clipfrac"], 1e-7)
			near(t, name+": clipped by c", clip.dual/clip.units, c.Clipped["actor/pg_clipfrac_lower"], 1e-7)
		}
		if c.Loss == "vanilla" && clip.dual == 0 {
			t.Errorf("%s: no token is clipped by c: the test is not conclusive", name)
		}
	}
}
