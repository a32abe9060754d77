package rl_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// learner is a setting of GRPO that must learn to sort digits.
type learner struct {
	name  string
	set   func(g *rl.GRPO) // changes fields from TRL's defaults
	quick bool             // also runs without AHA_LEARN=all
	// critic makes the critic of PPO, for a policy with the given seed. If nil, there is none.
	critic func(t *testing.T, policy *model.Model, seed uint64) *rl.Critic
}

var learners = []learner{
	{name: "dapo", set: func(*rl.GRPO) {}, quick: true},
	{name: "grpo", set: func(g *rl.GRPO) { g.LossType = rl.LossGRPO }},
	{name: "dr_grpo", set: func(g *rl.GRPO) { g.LossType, g.Scaling = rl.LossDrGRPO, rl.ScaleNone }},
	{name: "bnpo", set: func(g *rl.GRPO) { g.LossType = rl.LossBNPO }},
	{name: "batch scaling", set: func(g *rl.GRPO) { g.Scaling = rl.ScaleBatch }},
	{name: "two iterations", set: func(g *rl.GRPO) { g.MiniBatches, g.NumIterations = 1, 2 }},

	{name: "clip-higher", set: func(g *rl.GRPO) { g.Objective.EpsilonHigh = 0.28 }},
	{name: "dual clip", set: func(g *rl.GRPO) { g.Objective.DualClip = 3 }},
	{name: "gspo", set: func(g *rl.GRPO) {
		g.Objective = rl.Objective{Level: rl.LevelSequence, EpsilonLow: 3e-4, EpsilonHigh: 4e-4}
		g.LossType = rl.LossGRPO
	}},
	{name: "gspo-token", set: func(g *rl.GRPO) {
		g.Objective = rl.Objective{Level: rl.LevelSequenceToken, EpsilonLow: 3e-4, EpsilonHigh: 4e-4}
		g.LossType = rl.LossGRPO
	}},
	{name: "luspo", set: func(g *rl.GRPO) { g.Objective.Level, g.LossType = rl.LevelSequence, rl.LossLUSPO }},
	{name: "cispo", set: func(g *rl.GRPO) { g.Objective.Surrogate = rl.SurrogateCISPO }},
	{name: "sapo", set: func(g *rl.GRPO) { g.Objective.Surrogate, g.LossType = rl.SurrogateSAPO, rl.LossGRPO }},
	{name: "reinforce", set: func(g *rl.GRPO) { g.Objective.Surrogate = rl.SurrogateReinforce }},
	{name: "mirror descent", set: func(g *rl.GRPO) {
		g.Objective = rl.Objective{Surrogate: rl.SurrogateMirrorDescent, Level: rl.LevelSequence, MirrorTau: 0.1}
		g.LossType, g.Scaling = rl.LossLUSPO, rl.ScaleNone
	}},

	{name: "rloo", set: func(g *rl.GRPO) {
		g.Estimator, g.Objective.Level, g.LossType = rl.EstimatorRLOO, rl.LevelTrajectory, rl.LossGRPO
	}},
	{name: "reinforce++", set: func(g *rl.GRPO) { g.Estimator = rl.EstimatorReinforcePlusPlus }},
	{name: "reinforce++ baseline", set: func(g *rl.GRPO) { g.Estimator = rl.EstimatorReinforcePlusPlusBaseline }},

	{name: "k1", set: func(g *rl.GRPO) { g.Objective.Beta, g.Objective.Divergence = 0.01, rl.DivergenceK1 }},
	{name: "k2", set: func(g *rl.GRPO) { g.Objective.Beta, g.Objective.Divergence = 0.01, rl.DivergenceK2 }},
	{name: "k3", set: func(g *rl.GRPO) { g.Objective.Beta = 0.01 }},
	{name: "k3 unbiased", set: func(g *rl.GRPO) {
		g.Objective.Beta, g.Objective.Divergence = 0.01, rl.DivergenceK3Unbiased
	}},
	{name: "k1 in the reward", set: func(g *rl.GRPO) { g.RewardKL = 0.01 }},

	{name: "ppo, own network", set: func(*rl.GRPO) {}, critic: ownCritic},
	{name: "ppo, shared trunk", set: func(*rl.GRPO) {}, critic: sharedCritic},
}

// ownCritic returns a critic with a separate network, which begins with the policy's weights.
func ownCritic(t *testing.T, policy *model.Model, seed uint64) *rl.Critic {
	m := newSorter(t, policy.Backend(), seed)
	if err := m.Params.CopyFrom(policy.Params); err != nil {
		t.Fatal(err)
	}
	c := sharedCritic(t, m, seed)
	c.Trainer = &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: 1e-3}, Seed: seed, Log: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() { c.Trainer.Close() })
	return c
}

// sharedCritic returns a critic that reads the policy's hidden states.
func sharedCritic(t *testing.T, policy *model.Model, _ uint64) *rl.Critic {
	head, err := rl.NewValueHead(policy)
	if err != nil {
		t.Fatal(err)
	}
	return &rl.Critic{Head: head}
}

// Each setting raises exact match on unseen inputs by 20 points or more, and with shuffled rewards by at most 4.
// AHA_LEARN=all runs all settings with three seeds, which takes a quarter of an hour: use -timeout 1h.
func TestGRPOLearnsToSortDigits(t *testing.T) {
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if path := backend.Path(b); testing.Short() || raceEnabled || path == "portable" {
		t.Skipf("takes 30 s of CPU with assembly kernels: short %v, race detector %v, kernels %s", testing.Short(),
			raceEnabled, path)
	}
	seeds := []uint64{1}
	all := os.Getenv("AHA_LEARN") == "all"
	if all {
		seeds = []uint64{1, 2, 3}
	}
	starts := map[uint64]*start{}
	var table strings.Builder
	defer func() { t.Logf("exact match on unseen inputs, sampled and greedy\n%s", &table) }()
	for _, seed := range seeds {
		for _, l := range learners {
			if !l.quick && !all {
				continue
			}
			t.Run(fmt.Sprintf("%s/seed%d", l.name, seed), func(t *testing.T) {
				if gain := sortDigits(t, b, startOf(t, b, starts, seed), l, &table); gain < 0.2 {
					t.Errorf("exact match rose by %.1f points, want 20 or more", 100*gain)
				}
			})
		}
		t.Run(fmt.Sprintf("shuffled/seed%d", seed), func(t *testing.T) {
			shuffled := learner{set: func(g *rl.GRPO) { g.Shuffle = true }}
			if gain := sortDigits(t, b, startOf(t, b, starts, seed), shuffled, &table); gain > 0.04 {
				t.Errorf("exact match rose by %.1f points, want 4 at most", 100*gain)
			}
		})
	}
}

// start holds the weights of a model after supervised training on 3,200 solved problems.
type start struct {
	seed    uint64
	weights [][]float64 // of each parameter
	before  match
}

// match is the share of right answers to unseen inputs: with 4 samples at temperature 1 for each input, and greedy.
type match struct{ drawn, greedy float64 }

func startOf(t *testing.T, b backend.Backend, starts map[uint64]*start, seed uint64) *start {
	t.Helper()
	if s := starts[seed]; s != nil {
		return s
	}
	m := newSorter(t, b, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	examples := &train.Epochs{Rows: 64 * (2*sortLength + 1), Seed: seed}
	for range 3200 {
		examples.Sequences = append(examples.Sequences, drawSorting(rng, false).example())
	}
	tr := &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: 2e-3}, Schedule: train.WarmUp(20, nil), Seed: seed, Steps: examples.Steps(1),
	}
	defer tr.Close()
	if err := tr.Run(context.Background(), examples); err != nil {
		t.Fatal(err)
	}
	s := &start{seed: seed, before: matchOf(t, m)}
	for _, p := range m.Params.All() {
		w, err := p.Floats()
		if err != nil {
			t.Fatal(err)
		}
		s.weights = append(s.weights, w)
	}
	if s.before.drawn > 0.3 {
		t.Errorf("seed %d: exact match is already %.3f after supervised training", seed, s.before.drawn)
	}
	starts[seed] = s
	return s
}

// sortDigits trains a start by GRPO, adds a row to table, and returns the gain in exact match.
func sortDigits(t *testing.T, b backend.Backend, from *start, l learner, table io.Writer) (gain float64) {
	t.Helper()
	began := time.Now()
	m := newSorter(t, b, from.seed)
	for i, p := range m.Params.All() {
		if err := p.SetFloats(from.weights[i]); err != nil {
			t.Fatal(err)
		}
	}
	g := &rl.GRPO{
		Trainer: &train.Trainer{
			Model: m, Optimizer: train.AdamW{LR: 5e-4}, Seed: from.seed, Log: slog.New(slog.DiscardHandler),
		},
		Sampler: sorting(t, m, model.Sampling{}), Reward: sortingReward(),
		Data: func(step int) ([]rollout.Prompt, error) {
			return sortingPrompts(rand.New(rand.NewPCG(from.seed, uint64(1+step))), 64, false), nil
		},
		Steps: 40, MiniBatches: 2, FailOnMismatch: true,
	}
	defer g.Trainer.Close()
	l.set(g)
	if l.critic != nil {
		g.Critic = l.critic(t, m, from.seed)
	}
	if err := g.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := matchOf(t, m)
	gain = after.drawn - from.before.drawn
	name := strings.TrimPrefix(t.Name(), "TestGRPOLearnsToSortDigits/")
	fmt.Fprintf(table, "%-26s %.3f → %.3f  %.3f → %.3f  %+5.1f points  %d steps  %.0f s\n", name, from.before.drawn,
		after.drawn, from.before.greedy, after.greedy, 100*gain, g.Steps, time.Since(began).Seconds())
	return gain
}

// sortLength is the number of digits to sort.
const sortLength = 5

// digitsToSort is a problem: for "31426" the prompt is "31426:" and the answer "12346".
type digitsToSort string

func (d digitsToSort) sorted() string {
	text := []byte(d)
	slices.Sort(text)
	return string(text)
}

// unseen reports whether the problem is one for evaluation: an eighth of the answers does not occur in training.
func (d digitsToSort) unseen() bool {
	h := fnv.New32a()
	h.Write([]byte(d.sorted()))
	return h.Sum32()%8 == 0
}

// example returns the problem and its answer as a sequence; only the answer has weight.
func (d digitsToSort) example() model.Sequence {
	ids := encode(string(d) + ":" + d.sorted() + "\x01")
	weight := make([]float32, len(ids)-1)
	for i := sortLength; i < len(weight); i++ {
		weight[i] = 1
	}
	return model.Sequence{IDs: ids, Weight: weight}
}

func drawSorting(rng *rand.Rand, unseen bool) digitsToSort {
	for {
		text := make([]byte, sortLength)
		for i := range text {
			text[i] = byte('0' + rng.IntN(10))
		}
		if d := digitsToSort(text); d.unseen() == unseen {
			return d
		}
	}
}

func sortingPrompts(rng *rand.Rand, n int, unseen bool) []rollout.Prompt {
	prompts := make([]rollout.Prompt, n)
	for i := range prompts {
		d := drawSorting(rng, unseen)
		prompts[i] = rollout.Prompt{IDs: encode(string(d) + ":"), Text: string(d) + ":", Answer: d, Source: "sort"}
	}
	return prompts
}

// sortingReward is 1 for the right answer, and otherwise at most ½, by the share of digits in their place.
func sortingReward() *reward.Suite {
	score := func(_ context.Context, s reward.Sample) reward.Verdict {
		want := s.Answer.(digitsToSort).sorted()
		if s.Completion == want && !s.Truncated {
			return reward.Verdict{Value: 1, Status: reward.Correct}
		}
		right := 0
		for i := range min(len(want), len(s.Completion)) {
			if s.Completion[i] == want[i] {
				right++
			}
		}
		share := float64(right) / float64(max(len(want), len(s.Completion)))
		return reward.Verdict{Value: share / 2, Status: reward.Wrong}
	}
	return &reward.Suite{Funcs: []reward.Func{{Name: "sorted", Score: score}}}
}

// newSorter returns a small DeepSeek-V3 model: MLA, one dense layer, and one layer with a shared expert and 4 experts,
// of which 2 are chosen for each token.
func newSorter(t *testing.T, b backend.Backend, seed uint64) *model.Model {
	t.Helper()
	c := model.Tiny(len(symbols))
	c.MaxPositionEmbeddings, c.EOSTokenID = 16, model.TokenIDs{eos}
	c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 64, 128, 64
	c.NumHiddenLayers, c.NRoutedExperts, c.NumNextNPredictLayers = 2, 4, 0
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 32, 32, 16, 16, 16
	m, err := model.New(b, c, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

func sorting(t *testing.T, m *model.Model, sampling model.Sampling) *rollout.Generator {
	t.Helper()
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 256, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gen.Close)
	return &rollout.Generator{Generator: gen, Decode: decode, Sampling: sampling, MaxTokens: sortLength + 2}
}

func matchOf(t *testing.T, m *model.Model) (found match) {
	t.Helper()
	unseen := sortingPrompts(rand.New(rand.NewPCG(1, 0)), 256, true)
	for _, c := range []struct {
		sampling model.Sampling
		n        int
		share    *float64
	}{{model.Sampling{}, 4, &found.drawn}, {model.Sampling{Greedy: true}, 1, &found.greedy}} {
		e := rl.Evaluation{Sampler: sorting(t, m, c.sampling), Reward: sortingReward(), N: c.n}
		r, err := e.Run(context.Background(), unseen)
		if err != nil {
			t.Fatal(err)
		}
		*c.share = r.Sources[0].Mean
	}
	return found
}
