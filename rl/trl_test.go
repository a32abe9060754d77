package rl

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// trlLoss is the content of testdata/trl_loss.json, computed by TRL's trainer.
type trlLoss struct {
	MaxTokens  int       `json:"max_tokens"`
	Tokens     []int     `json:"tokens"`
	Truncated  []bool    `json:"truncated"`
	Advantage  []float64 `json:"advantage"`
	LogProb    []float64 `json:"log_prob"`
	OldLogProb []float64 `json:"old_log_prob"`
	RefLogProb []float64 `json:"ref_log_prob"`
	Entropy    []float64 `json:"entropy"`
	Cases      []trlCase `json:"cases"`
}

// trlCase holds settings of TRL's GRPOConfig or RLOOConfig.
type trlCase struct {
	Trainer        string      `json:"trainer"`
	LossType       string      `json:"loss_type"`
	Level          Level       `json:"importance_sampling_level"`
	Epsilon        float64     `json:"epsilon"`
	EpsilonHigh    float64     `json:"epsilon_high"`
	Delta          float64     `json:"delta"`
	TauPositive    float64     `json:"sapo_temperature_pos"`
	TauNegative    float64     `json:"sapo_temperature_neg"`
	BiasCorrection bool        `json:"use_bias_correction_kl"`
	Beta           float64     `json:"beta"`
	EntropyCoef    float64     `json:"entropy_coef"`
	Mask           bool        `json:"mask_truncated_completions"`
	Updates        []trlUpdate `json:"updates"`
}

// grpo returns a GRPO with the same settings, by the table of losses in the package
// documentation.
func (c trlCase) grpo() *GRPO {
	g := &GRPO{LossType: LossType(c.LossType), MaskTruncated: c.Mask, Objective: Objective{
		Level: c.Level, EpsilonLow: c.Epsilon, EpsilonHigh: c.EpsilonHigh, DualClip: c.Delta,
		Beta: c.Beta, EntropyCoef: c.EntropyCoef,
	}}
	o := &g.Objective
	if c.BiasCorrection {
		o.Divergence = DivergenceK3Unbiased
	}
	switch {
	case c.Trainer == "rloo":
		o.Level, g.LossType = LevelTrajectory, LossGRPO
	case c.LossType == "cispo":
		o.Surrogate, o.EpsilonLow, o.EpsilonHigh, g.LossType = SurrogateCISPO, 0, c.EpsilonHigh-1, LossDAPO
	case c.LossType == "sapo":
		o.Surrogate, o.EpsilonLow, o.EpsilonHigh, g.LossType = SurrogateSAPO, 0, 0, LossGRPO
		o.TauPositive, o.TauNegative = c.TauPositive, c.TauNegative
	}
	return g
}

func (c trlCase) String() string {
	type plain trlCase // without String
	updates := len(c.Updates)
	c.Updates = nil
	return fmt.Sprintf("%+v in %d updates", plain(c), updates)
}

type trlUpdate struct {
	Loss        float64            `json:"loss"`
	GradLogProb []float64          `json:"grad_log_prob"`
	GradEntropy []float64          `json:"grad_entropy"`
	Metrics     map[string]float64 `json:"metrics"`
}

// at returns the index in the flat lists of the first token of completion i.
func (f *trlLoss) at(i int) int {
	n := 0
	for _, tokens := range f.Tokens[:i] {
		n += tokens
	}
	return n
}

// trainSamples returns the completions that are not masked, and the index of every
// completion.
func (f *trlLoss) trainSamples(g *GRPO) (r *Rollout, xs []trainSample, number map[*rollout.Sample]int) {
	n := len(f.Tokens)
	r = &Rollout{Samples: make([]rollout.Sample, n)}
	r.Advantages = Advantages{Scored: slices.Repeat([]bool{true}, n), ZeroStd: make([]bool, 1)}
	number = map[*rollout.Sample]int{}
	for i := range r.Samples {
		s, from, to := &r.Samples[i], f.at(i), f.at(i+1)
		*s = rollout.Sample{
			IDs: make([]int32, f.Tokens[i]), LogProbs: f.OldLogProb[from:to], Finish: model.Stopped,
		}
		number[s] = i
		if f.Truncated[i] {
			s.Finish = model.Truncated
			if g.MaskTruncated {
				continue
			}
		}
		advantages := slices.Repeat(f.Advantage[i:i+1], len(s.IDs))
		// The prompt has one token, so the first row predicts the first completion token.
		x := newTrainSample(rollout.Prompt{IDs: []int32{0}}, s, advantages)
		if g.Objective.Beta != 0 {
			x.ref = f.RefLogProb[from:to]
		}
		xs = append(xs, x)
	}
	return r, xs, number
}

// deal sets the seed of s so that miniBatches puts exactly the first half of the completions
// in the first of two updates.
func deal(s split, xs []trainSample, number map[*rollout.Sample]int, half int) split {
	for s.parts == 2 {
		first := s.miniBatches(xs)[0].micro[0]
		if !slices.ContainsFunc(first, func(x trainSample) bool { return number[x.Sample] >= half }) {
			break
		}
		s.seed++
	}
	return s
}

// Loss, gradients and metrics agree with TRL's code, in one update and in two. 6 of 16
// completions are truncated and, in most cases, masked.
func TestLossesAreTRLs(t *testing.T) {
	text, err := os.ReadFile("testdata/trl_loss.json")
	if err != nil {
		t.Fatal(err)
	}
	var f trlLoss
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	b := openCPU(t)
	for _, c := range f.Cases {
		g := c.grpo()
		if err := g.Objective.validate(); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		r, xs, number := f.trainSamples(g)
		parts, size := len(c.Updates), len(f.Tokens)/len(c.Updates)
		s := split{parts: parts, loss: g.LossType, allSamples: len(r.Samples), kept: g.kept(r), maxTokens: f.MaxTokens}
		for u, mini := range deal(s, xs, number, size).miniBatches(xs) {
			name := fmt.Sprintf("%s, the one at %d", c, u)
			want, base := c.Updates[u], f.at(u*size)
			var row lossCase
			var tokens []int // the index of each row's token in the fixture's lists of the update
			for _, x := range mini.micro[0] {
				from := f.at(number[x.Sample])
				row.lengths = append(row.lengths, len(x.IDs))
				for i, old := range x.LogProbs {
					tokens = append(tokens, from+i-base)
					row.logProb = append(row.logProb, f.LogProb[from+i])
					row.entropy = append(row.entropy, f.Entropy[from+i])
					row.old, row.ref = append(row.old, old), append(row.ref, f.RefLogProb[from+i])
					row.advantage, row.weight = append(row.advantage, x.advantages[i]), append(row.weight, x.weight)
					row.mean = append(row.mean, 1/mini.global.Weight)
				}
			}
			loss, byLogProb, byEntropy := row.evaluate(t, b, g.Objective.Loss)
			near(t, name+": loss", loss, want.Loss, 1e-9)
			seen := make([]bool, len(want.GradLogProb))
			for i, k := range tokens {
				seen[k] = true
				near(t, fmt.Sprintf("%s: gradient %d by log π", name, i), byLogProb[i], want.GradLogProb[k], 1e-9)
				near(t, fmt.Sprintf("%s: gradient %d by entropy", name, i), byEntropy[i], want.GradEntropy[k], 1e-9)
			}
			for k, is := range seen {
				if !is && (want.GradLogProb[k] != 0 || want.GradEntropy[k] != 0) {
					t.Errorf("%s: TRL trains on token %d, which is left out here", name, k)
				}
			}
			policy, _, _ := row.evaluate(t, b, g.Objective.policyLoss)
			checkTRLMetrics(t, name, g.Objective, mini, row, policy, want.Metrics)
		}
	}
}

func checkTRLMetrics(
	t *testing.T, name string, o Objective, mini miniBatch, row lossCase, policy float64, want map[string]float64,
) {
	t.Helper()
	u := update{tokenStats: tokenStats{policyLoss: policy}}
	u.add(o, mini.micro[0], row.logProb, row.entropy)
	got := map[string]float64{}
	u.enter(train.Metrics{Values: got}, o, true, 1)
	clips := 0
	for metric, v := range want {
		if metric == "entropy_coef" { // a setting, not a metric
			continue
		}
		if have, ok := got[metric]; !ok {
			t.Errorf("%s: no metric %s", name, metric)
		} else { // TRL counts clipped tokens in float32
			near(t, name+": "+metric, have, v, 1e-7)
		}
		if strings.Contains(metric, "clip_ratio") {
			clips++
		}
	}
	for metric := range got {
		if strings.Contains(metric, "clip_ratio") && metric != MetricClipDualMean {
			clips--
		}
	}
	if clips != 0 {
		t.Errorf("%s: TRL has %d further metrics of clipping", name, clips)
	}
}
