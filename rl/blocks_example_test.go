package rl_test

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/lora"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/moe"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// parallel is a block with attention and experts in parallel, and a gate on the attention:
// h + σ(W·x)⊙MLA(x) + MoE(x) with x = RMSNorm(h). Its cache is that of the attention.
type parallel struct {
	model.Attention
	norm *tensor.Param
	gate *tensor.Linear
	moe  *moe.MoE
}

func newParallel(ps *tensor.Params, c model.Config, l int, angles tensor.Angles, o model.Options) model.Block {
	name, d := fmt.Sprintf("blocks.%d", l), c.HiddenSize
	return &parallel{
		Attention: model.NewAttention(ps, name+".attn", c, angles, o),
		norm:      ps.Gain(name+".norm.weight", d),
		gate:      tensor.NewLinear(ps, name+".gate", d, d, false),
		moe:       model.NewMoE(ps, name+".moe", c),
	}
}

func (b *parallel) Forward(h tensor.Tensor, r attention.Rows, c *attention.Cache) (tensor.Tensor, []tensor.Tensor) {
	x := tensor.RMSNorm(h, b.norm, 1e-6)
	y := b.moe.Forward(x)
	a := tensor.Mul(tensor.Sigmoid(b.gate.Forward(x)), b.Attention.Forward(x, r, c))
	return tensor.Add(h, tensor.Add(a, y.Y)), []tensor.Tensor{y.Scores}
}

func (b *parallel) Gates() []*moe.Gate { return []*moe.Gate{b.moe.Gate} }

func (b *parallel) Linears() []*tensor.Linear { return append(b.Attention.Linears(), b.gate) }

// signSGD is a custom optimizer: w ← w − LR·sign(g).
type signSGD struct{ LR float64 }

func (o signSGD) Validate() error                      { return nil }
func (o signSGD) LearningRate() float64                { return o.LR }
func (o signSGD) Moments(*tensor.Param) []train.Moment { return nil }
func (o signSGD) Update(s *tensor.Scope, p *tensor.Param, g backend.View, _ []backend.View, _ backend.View) {
	step := s.Empty(g.DType, p.Shape()...).View()
	s.Do(&backend.Unary{Y: step, X: g, Fn: backend.Sign})
	s.Do(&backend.Unary{Y: step, X: step, Fn: backend.Affine, A: -o.LR})
	s.Do(&backend.Binary{Y: p.Value(), A: p.Value(), B: step, Fn: backend.Add})
}

// teach trains m on the sequence 0 1 2 … until the run in dir has made the given number of
// steps. Its custom loss ignores tokens that are predicted with more than 90%.
func teach(m *model.Model, dir string, steps int) (*model.Model, error) {
	t := train.Trainer{Model: m, Optimizer: signSGD{LR: 1e-3}, Steps: steps, Dir: dir}
	defer t.Close()
	t.Loss = func(s *tensor.Scope, b model.Batch) tensor.Tensor {
		return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
			margin := tensor.Clamp(tensor.Affine(out.LogProbs(b.Targets), -1, -0.1), 0, 100)
			return tensor.Sum(tensor.Mul(b.Weight, margin))
		})
	}
	digits := model.Sequence{IDs: []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}
	return m, t.Run(context.Background(), &train.Epochs{Sequences: []model.Sequence{digits}})
}

// improve returns the greedy completion of m after 3 4, and whether 20 steps of GRPO raise
// its reward. Log-probabilities of trainer and rollout must be equal bit for bit.
func improve(m *model.Model, rate float64) (string, error) {
	gen := must(model.NewGenerator(m, model.GeneratorOptions{MaxLen: 16}))
	defer gen.Close()
	answers := must(gen.Generate(context.Background(), []model.Request{
		{Prompt: []int32{3, 4}, MaxTokens: 4, Sampling: model.Sampling{Greedy: true}}}))
	rewards := make([]float64, 21)
	g := rl.GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: rate}},
		Sampler: &rollout.Generator{Generator: gen, Decode: decode, MaxTokens: 8},
		Data:    digitPrompts(1, 8),
		Reward:  &reward.Suite{Funcs: []reward.Func{{Name: "digits", Score: positionShare}}},
		Steps:   20, FailOnMismatch: true, Alarms: rl.Thresholds{MaxTruncated: -1},
		OnStep: func(m train.Metrics) { rewards[m.Step] = m.Values[rl.MetricReward] },
	}
	defer g.Close()
	err := g.Run(context.Background())
	return fmt.Sprintf("after 3 4: %d; the reward rises: %t", answers[0].Tokens, rewards[20] > 2*rewards[1]), err
}

// A model with custom blocks is trained, resumed, sampled and improved by GRPO, first with
// all parameters and then with adapters on one block.
func ExampleGRPO_ownBlocks() {
	b := must(backend.Open("cpu"))
	defer b.Close()
	c := model.Tiny(16)
	c.NumHiddenLayers, c.HiddenSize, c.MoEIntermediateSize, c.NumNextNPredictLayers = 2, 32, 16, 0
	fresh := func() *model.Model { return must(model.NewWith(b, c, 1, model.Options{Block: newParallel})) }
	dir := must(os.MkdirTemp("", "own"))
	defer os.RemoveAll(dir)
	must(teach(fresh(), dir, 30))
	m, whole := must(teach(fresh(), dir, 60)), must(teach(fresh(), "", 60)) // m resumes at step 30
	fmt.Println("resumed bit for bit:", slices.EqualFunc(m.Params.All(), whole.Params.All(), sameBits))
	fmt.Println(must(improve(m, 3e-3)))
	must(lora.Attach(whole, lora.Config{Rank: 8, Alpha: 32, Targets: []string{lora.AllLinear}, Layers: []int{1}}))
	fmt.Println("by adapters of one block:", must(improve(whole, 3e-2)))
	// Output:
	// resumed bit for bit: true
	// after 3 4: [5 6 7 8]; the reward rises: true
	// by adapters of one block: after 3 4: [5 6 7 8]; the reward rises: true
}

func sameBits(p, q *tensor.Param) bool { return slices.Equal(must(p.Floats()), must(q.Floats())) }
