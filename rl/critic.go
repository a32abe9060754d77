package rl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// Critic estimates the value of the state in which each token of a rollout is
// sampled, for the advantages of PPO (arXiv 1707.06347). Its Head reads the hidden states
// either of a separate network, which Trainer trains, or of the policy; then the value
// loss is added to the policy's loss.
//
// The reward of a completion is the reward of its last token. GRPO.Process adds rewards to
// the last tokens of steps, and GRPO.RewardKL subtracts a KL term from each token's reward.
// GAE computes advantages and returns from rewards and values, and the advantages are
// whitened over all tokens of the rollout that are in the loss. The value loss of an
// update is the mean over its tokens of
//
//	½ max((V − R)², (V_old + clip(V − V_old, ±ClipRange) − R)²)
//
// with the values V, the values V_old before the updates and the returns R.
//
// Each update of the policy is accompanied by an update of the critic on the same samples.
type Critic struct {
	// Head [1, D] maps hidden states to values; see NewValueHead. Required.
	Head *tensor.Param
	// Trainer trains the critic's network. If nil, Head reads the policy's hidden states.
	// Its Model may have any config with the policy's vocabulary. Its fields Steps, Loss,
	// SaveEvery, Eval and OnStep are not used, and its Dir must be empty: checkpoints of the
	// policy's Trainer include the critic, in files that begin with critic-.
	Trainer *train.Trainer
	// Gamma discounts rewards from token to token; 0 means 1, as in verl and TRL.
	Gamma float64
	// Lambda is GAE's λ. At 1 the return is the sum of the rewards; towards 0 it becomes
	// the reward plus the next value. 0 means 1, as in verl. TRL's PPO used 0.95, with
	// which PPO was far worse than GRPO on long reasoning (arXiv 2501.12948v2 A.3).
	Lambda float64
	// ClipRange limits how far V may move from V_old in the clipped value loss, in units of
	// reward; 0 means 0.2, as in TRL. verl uses 0.5.
	ClipRange float64
	// Coef is the weight of the value loss in the policy's loss, if Trainer is nil; 0 means
	// 0.1, TRL's vf_coef.
	Coef float64
	// Warmup is the number of first steps in which only the critic is updated: verl's
	// critic_warmup. It requires a Trainer. No checkpoint is written before the first
	// update of the policy.
	Warmup int
}

// criticPrefix begins the names of the critic's files in a checkpoint.
const criticPrefix = "critic-"

// NewValueHead adds a value head [1, D] to the parameters of m. It is named score.weight,
// as in the classifiers of transformers, and is initialized to zeros, so that all values
// begin at 0. It trains with m and is saved in its checkpoints.
//
// A separate critic network needs no vocabulary head: set TieWordEmbeddings in its config
// to leave it out. To initialize it with the policy's weights, call Params.CopyFrom before
// NewValueHead.
func NewValueHead(m *model.Model) (*tensor.Param, error) {
	if m.Params.Get(headName) != nil {
		return nil, fmt.Errorf("rl: the model has a parameter %s already", headName)
	}
	head := m.Params.Score(headName, 1, m.Config.HiddenSize)
	return head, m.Params.Err()
}

func (c *Critic) clipRange() float64 { return cmp.Or(c.ClipRange, 0.2) }

// shared reports whether the critic's head reads the policy's hidden states.
func (c *Critic) shared() bool { return c != nil && c.Trainer == nil }

// own reports whether the critic is a separate network.
func (c *Critic) own() bool { return c != nil && c.Trainer != nil }

// warming reports whether the next step updates only the critic.
func (g *GRPO) warming() bool { return g.Critic != nil && g.step < g.Critic.Warmup }

// network returns the Trainer of the network that the critic's head reads.
func (g *GRPO) network() *train.Trainer {
	if g.Critic.own() {
		return g.Critic.Trainer
	}
	return g.Trainer
}

// versions returns the numbers of optimizer updates of the policy and of the critic.
func (g *GRPO) versions() (v [2]int) {
	v[0] = g.Trainer.StepCount()
	if g.Critic.own() {
		v[1] = g.Critic.Trainer.StepCount()
	}
	return v
}

// values returns the value of each row of out, [N].
func (c *Critic) values(out model.Output) tensor.Tensor {
	v := tensor.Logits(out.Hidden, c.Head) // [N,1]
	return v.Reshape(v.Dim(0))
}

// estimateByValues sets the values, returns and advantages of the tokens of a rollout.
func (g *GRPO) estimateByValues(r *Rollout) error {
	n := len(r.Samples)
	r.Values, r.Returns = make([][]float64, n), make([][]float64, n)
	var xs []trainSample
	var at []int // xs[k] is sample at[k]
	for i := range r.Samples {
		if r.InLoss[i] {
			xs, at = append(xs, r.trainSample(i)), append(at, i)
		}
	}
	if g.Critic.shared() {
		g.replay(xs) // so that the values are those of the updates
	}
	values, err := g.evaluate(xs)
	if err != nil {
		return fmt.Errorf("rl: step %d: values of the rollout: %w", r.Step, err)
	}
	rewards := g.tokenRewards(r)
	gamma, lambda := cmp.Or(g.Critic.Gamma, 1), cmp.Or(g.Critic.Lambda, 1)
	for k, i := range at {
		r.Values[i] = values[k]
		r.Advantages.Token[i], r.Returns[i] = GAE(rewards[i], values[k], gamma, lambda)
	}
	whiten(r.Advantages.Token, r.InLoss)
	return nil
}

// evaluate computes the value of each completion token of xs, without gradients.
func (g *GRPO) evaluate(xs []trainSample) ([][]float64, error) {
	t := g.network()
	m := t.Model
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	var all [][]float64
	for _, micro := range microBatches(xs, t.MaxRows) {
		s.Reset()
		seqs := sequences(micro)
		for _, q := range seqs {
			if longest := m.Config.MaxPositionEmbeddings; q.Rows() > longest {
				return nil, fmt.Errorf("a sample has %d tokens, max_position_embeddings of the critic is %d", q.Rows(), longest)
			}
		}
		values, err := g.Critic.values(m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs)))).Values()
		if err != nil {
			return nil, err
		}
		for _, x := range micro {
			of := values[x.first():x.seq.Rows()]
			if j := slices.IndexFunc(of, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }); j >= 0 {
				return nil, fmt.Errorf("the value of token %d of sample %d in the loss is %g", j, len(all), of[j])
			}
			all, values = append(all, of), values[x.seq.Rows():]
		}
	}
	return all, nil
}

// updateCritic makes one update of a critic with a separate network.
func (g *GRPO) updateCritic(ctx context.Context, mini miniBatch) (criticUpdate, error) {
	var u criticUpdate
	var err error
	t := g.Critic.Trainer
	xs := slices.Concat(mini.micro...)
	for i := range xs {
		xs[i].seq.Experts = nil // under RouterReplay they are the policy's experts
	}
	micros := microBatches(xs, t.MaxRows)
	u.Metrics, err = t.Update(ctx, int64(mini.global.Weight), len(micros), func(s *tensor.Scope, i int) tensor.Tensor {
		b := t.Model.NewBatch(s, sequences(micros[i]), mini.global)
		return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
			return g.Critic.loss(t, out, b, micros[i], &u.valueStats)
		})
	})
	if err != nil {
		return u, fmt.Errorf("critic: %w", err)
	}
	return u, nil
}

// loss returns the value loss of the micro-batch xs: b is its batch, and out is the
// output of t's model for b. Its values are added to stats after the backward pass.
func (c *Critic) loss(t *train.Trainer, out model.Output, b model.Batch, xs []trainSample,
	stats *valueStats) tensor.Tensor {
	var old, returns []float64
	for _, x := range xs {
		blank := make([]float64, x.first())
		old = append(append(old, blank...), x.values...)
		returns = append(append(returns, blank...), x.returns...)
	}
	s, dt := out.Hidden.Scope(), b.Weight.DType()
	value := c.values(out).Keep()
	t.After(func() error {
		v, err := value.Values()
		if err == nil {
			stats.add(xs, v, c.clipRange(), b.Norm)
		}
		return err
	})
	return valueLoss(value, s.Floats(dt, old, len(old)), s.Floats(dt, returns, len(returns)), b.Weight, c.clipRange())
}

// valueLoss returns Σ w·½ max((V − R)², (V_old + clip(V − V_old, ±c) − R)²), of shape
// [1], for values V, old values V_old, returns R and weights w, each [N].
func valueLoss(value, old, returns, weight tensor.Tensor, c float64) tensor.Tensor {
	square := func(v tensor.Tensor) tensor.Tensor {
		d := tensor.Sub(v, returns)
		return tensor.Mul(d, d)
	}
	clipped := tensor.Add(old, tensor.Clamp(tensor.Sub(value, old), -c, c))
	return tensor.Scale(tensor.Sum(tensor.Mul(weight, tensor.Maximum(square(value), square(clipped)))), 0.5)
}

// criticSettings holds the fields of a Critic that affect the results of a run.
type criticSettings struct {
	Own       bool    `json:"own_network"`
	Gamma     float64 `json:"gamma"`
	Lambda    float64 `json:"lam"`
	ClipRange float64 `json:"cliprange_value"`
	Coef      float64 `json:"vf_coef"`
	Warmup    int     `json:"critic_warmup"`
}

func (c *Critic) settings() *criticSettings {
	if c == nil {
		return nil
	}
	return &criticSettings{
		Own: c.own(), Gamma: c.Gamma, Lambda: c.Lambda, ClipRange: c.ClipRange, Coef: c.Coef, Warmup: c.Warmup,
	}
}

// validateCritic reports the first invalid field of Critic, and fields of GRPO that
// cannot be combined with a critic.
func (g *GRPO) validateCritic() error {
	c := g.Critic
	if c == nil {
		return nil
	}
	m := g.Trainer.Model
	switch {
	case c.Head == nil:
		return errors.New("Critic.Head is nil, see NewValueHead")
	case g.Estimator != "":
		return fmt.Errorf("Estimator is %s with Critic, whose advantages are those of GAE", g.Estimator)
	case g.Aggregation == NormalizeThenSum:
		return errors.New("Aggregation is normalize_then_sum with Critic, which uses the sum of the rewards")
	case g.Advantages != nil:
		return errors.New("Advantages is set with Critic, whose advantages are those of GAE")
	case g.Scaling != "" || g.StdEps != 0:
		return errors.New("Scaling or StdEps is set with Critic, whose advantages are whitened over the rollout")
	case g.SkipZeroStd:
		return errors.New("SkipZeroStd is set with Critic: groups without spread have advantages too")
	case c.shared() && c.Warmup != 0:
		return errors.New("Critic.Warmup is set without Critic.Trainer: " +
			"the critic's trunk is the policy's, and cannot be updated alone")
	case c.own() && g.Steps > 0 && c.Warmup >= g.Steps:
		return fmt.Errorf("Critic.Warmup is %d, and Steps is %d: the policy would never be updated", c.Warmup, g.Steps)
	case c.own() && c.Coef != 0:
		return errors.New("Critic.Coef is set with Critic.Trainer: the value loss is not added to the policy's")
	}
	if c.own() {
		t := c.Trainer
		switch m = t.Model; {
		case m == nil:
			return errors.New("Critic.Trainer.Model is nil")
		case t == g.Trainer || m == g.Trainer.Model:
			return errors.New("Critic.Trainer trains the policy: for a critic on the policy's trunk leave it nil")
		case t.Dir != "":
			return errors.New("Critic.Trainer.Dir is set: the critic is in the checkpoints of GRPO.Trainer")
		case t.Drafter != nil:
			return errors.New("Critic.Trainer.Drafter is set: a critic drafts no tokens")
		case m.Config.VocabSize < g.Trainer.Model.Config.VocabSize:
			return fmt.Errorf("Critic.Trainer.Model has vocab_size %d, the policy %d", m.Config.VocabSize,
				g.Trainer.Model.Config.VocabSize)
		}
	}
	switch {
	case m.Params.Get(c.Head.Name) != c.Head:
		return fmt.Errorf("Critic.Head, %s, is not among the parameters of the critic's model", c.Head.Name)
	case !slices.Equal(c.Head.Shape(), []int{1, m.Config.HiddenSize}):
		return fmt.Errorf("Critic.Head, %s, is %v, want [1 %d]", c.Head.Name, c.Head.Shape(), m.Config.HiddenSize)
	case !c.Head.Trainable:
		return fmt.Errorf("Critic.Head, %s, is not Trainable", c.Head.Name)
	}
	return cmp.Or(
		number("Critic.Gamma", c.Gamma, 0, 1), number("Critic.Lambda", c.Lambda, 0, 1),
		number("Critic.ClipRange", c.ClipRange, 0, math.MaxFloat64), number("Critic.Coef", c.Coef, 0, math.MaxFloat64),
		count("Critic.Warmup", c.Warmup),
	)
}
