package rl_test

import (
	"context"
	"fmt"
	"log"
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

// parallel is a block whose attention and experts read the same norm, with a gate on the
// attention: h + σ(W·x)⊙MLA(x) + MoE(x), x = RMSNorm(h).
type parallel struct {
	norm *tensor.Param
	gate *tensor.Linear
	attn *attention.MLA
	moe  *moe.MoE
}

func newParallel(ps *tensor.Params, c model.Config, l int, angles tensor.Angles, o model.Options) model.Block {
	name, d := fmt.Sprintf("blocks.%d", l), c.HiddenSize
	return &parallel{
		norm: ps.Gain(name+".norm.weight", d),
		gate: &tensor.Linear{W: ps.Matrix(name+".gate.weight", d, d)},
		attn: attention.NewMLA(ps, name+".attn", attention.MLAConfig{
			Hidden: d, Heads: 2, KVRank: 16, Nope: 8, Rope: c.RoPEDim(), Value: 16, RoundKV: o.RoundKV}, angles),
		moe: moe.New(ps, name+".moe", moe.Config{Hidden: d, Intermediate: 16, Experts: 4, TopK: 2, Bias: true}),
	}
}

func (b *parallel) Forward(h tensor.Tensor, r attention.Rows, c *attention.Cache) (tensor.Tensor, []tensor.Tensor) {
	x := tensor.RMSNorm(h, b.norm, 1e-6)
	y := b.moe.Forward(x)
	a := tensor.Mul(tensor.Sigmoid(b.gate.Forward(x)), b.attn.Forward(x, r, c))
	return tensor.Add(h, tensor.Add(a, y.Y)), []tensor.Tensor{y.Scores}
}

func (b *parallel) NewCache(d backend.Backend, dt backend.DType, rows int) (*attention.Cache, error) {
	return b.attn.NewCache(d, dt, rows)
}

func (b *parallel) Gates() []*moe.Gate { return []*moe.Gate{b.moe.Gate} }

func (b *parallel) Linears() []*tensor.Linear { return append(b.attn.Linears(), b.gate) }

// signSGD is an optimizer of one's own: w ← w − LR·sign(g).
type signSGD struct{ LR float64 }

func (o signSGD) Validate() error                        { return nil }
func (o signSGD) LearningRate() float64                  { return o.LR }
func (o signSGD) Moments(p *tensor.Param) []train.Moment { return nil }
func (o signSGD) Update(s *tensor.Scope, p *tensor.Param, g backend.View, _ []backend.View, _ backend.View) {
	step := s.Empty(g.DType, p.Shape()...).View()
	s.Do(&backend.Unary{Y: step, X: g, Fn: backend.Sign})
	s.Do(&backend.Unary{Y: step, X: step, Fn: backend.Affine, A: -o.LR})
	s.Do(&backend.Binary{Y: p.Value(), A: p.Value(), B: step, Fn: backend.Add})
}

// teach trains m on 0 1 2 … until so many steps are made in the run of dir, under a loss of
// one's own: predictions above 90% are good enough.
func teach(m *model.Model, dir string, steps int) error {
	t := train.Trainer{Model: m, Optimizer: signSGD{LR: 1e-3}, Steps: steps, Dir: dir}
	defer t.Close()
	t.Loss = func(s *tensor.Scope, b model.Batch) tensor.Tensor {
		return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
			margin := tensor.Clamp(tensor.Affine(out.LogProbs(b.Targets), -1, -0.1), 0, 100)
			return tensor.Sum(tensor.Mul(b.Weight, margin))
		})
	}
	return t.Run(context.Background(), train.DataFunc(func(int) ([]model.Sequence, error) {
		return []model.Sequence{{IDs: []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}}, nil
	}))
}

// A model of blocks of one's own is trained, resumed, sampled and improved by GRPO, whole
// and then by adapters on one block.
func ExampleGRPO_ownBlocks() {
	b := must(backend.Open("cpu"))
	defer b.Close()
	c := digitConfig()
	c.NumHiddenLayers, c.HiddenSize = 2, 32
	make := func() *model.Model { return must(model.NewWith(b, c, 1, model.Options{Block: newParallel})) }
	dir := must(os.MkdirTemp("", "own"))
	defer os.RemoveAll(dir)
	m, whole := make(), make()
	check(teach(make(), dir, 30))
	check(teach(m, dir, 60)) // goes on at step 30
	check(teach(whole, "", 60))
	fmt.Println("resumed bit for bit:", slices.EqualFunc(m.Params.All(), whole.Params.All(), sameBits))

	fmt.Println("after 3 4:", continued(m, 3, 4))
	fmt.Println("GRPO raises the reward:", improve(m, 3e-3))

	must(lora.Attach(whole, lora.Config{Rank: 8, Alpha: 32, Targets: []string{lora.AllLinear}, Layers: []int{1}}))
	fmt.Println("and through adapters of one block:", improve(whole, 3e-2))
	// Output:
	// resumed bit for bit: true
	// after 3 4: [5 6 7 8]
	// GRPO raises the reward: true
	// and through adapters of one block: true
}

// continued is what m most likely says after ids.
func continued(m *model.Model, ids ...int32) []int32 {
	gen := must(model.NewGenerator(m, model.GeneratorOptions{MaxLen: 16}))
	defer gen.Close()
	answers := must(gen.Generate(context.Background(), []model.Request{
		{Prompt: ids, MaxTokens: 4, Sampling: model.Sampling{Greedy: true}},
	}))
	return answers[0].Tokens
}

// improve reports whether 20 steps of GRPO raise the reward, with the log-probabilities of
// the trainer those of the rollouts, bit for bit.
func improve(m *model.Model, rate float64) bool {
	gen := must(model.NewGenerator(m, model.GeneratorOptions{MaxLen: 16}))
	defer gen.Close()
	var rewards []float64
	g := rl.GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: rate}},
		Sampler: &rollout.Generator{Generator: gen, Decode: decode, MaxTokens: 8},
		Data:    digitPrompts(1, 8),
		Reward:  &reward.Suite{Funcs: []reward.Func{{Name: "digits", Score: positionShare}}},
		Steps:   20, FailOnMismatch: true, Alarms: rl.Thresholds{MaxTruncated: -1},
		OnStep: func(m train.Metrics) { rewards = append(rewards, m.Values[rl.MetricReward]) },
	}
	defer g.Close()
	check(g.Run(context.Background()))
	return rewards[19] > 2*rewards[0]
}

func sameBits(p, q *tensor.Param) bool { return slices.Equal(must(p.Floats()), must(q.Floats())) }

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
