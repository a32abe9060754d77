package cuda_test

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// tiny returns the configuration of a DeepSeek-V3 model with MLA, experts and a
// multi-token prediction module, small enough for the emulator.
func tiny() model.Config {
	c := model.Tiny(16)
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.EOSTokenID = 32, 48, 2, model.TokenIDs{1}
	c.NumAttentionHeads, c.NumKeyValueHeads, c.MaxPositionEmbeddings = 2, 2, 32
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 16, 16, 8, 8, 8
	c.NRoutedExperts, c.MoEIntermediateSize, c.NumNextNPredictLayers = 4, 16, 1
	return c
}

// devices opens the CPU backend and the emulated device.
func devices(t *testing.T) map[string]backend.Backend {
	emulated(t)
	list := map[string]backend.Backend{}
	for _, name := range []string{"cpu", "cuda:0"} {
		b, err := backend.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		list[name] = b
	}
	return list
}

// newModel returns the tiny model with its multi-token prediction modules and
// the same weights on every backend.
func newModel(t *testing.T, b backend.Backend, o model.Options) (*model.Model, *mtp.MTP) {
	t.Helper()
	made := func(b backend.Backend) (*model.Model, *mtp.MTP) {
		m, err := model.NewWith(b, tiny(), 3, o)
		if err != nil {
			t.Fatal(err)
		}
		d, err := mtp.New(m)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Free)
		return m, d
	}
	m, d := made(b)
	if b.Name() != "cpu" {
		cpu, err := backend.Open("cpu")
		if err != nil {
			t.Fatal(err)
		}
		defer cpu.Close()
		origin, _ := made(cpu)
		for _, p := range m.Params.All() {
			x, err := origin.Params.Get(p.Name).Floats()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.SetFloats(x); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m, d
}

// apart returns ‖a−b‖/‖b‖.
func apart(a, b []float64) float64 {
	diff, size := 0.0, 0.0
	for i := range b {
		diff += (a[i] - b[i]) * (a[i] - b[i])
		size += b[i] * b[i]
	}
	return math.Sqrt(diff / max(size, 1e-300))
}

func TestTrainingStepsAreThoseOfTheCPU(t *testing.T) {
	for _, o := range []struct {
		options model.Options
		within  float64 // tolerance for losses and weights
	}{{model.Options{}, 1e-5}, {model.Options{Precision: backend.BF16}, 1e-2}} {
		seqs := []model.Sequence{{IDs: []int32{3, 1, 4, 1, 5, 9, 2, 6}}, {IDs: []int32{5, 3, 5, 8, 9}}}
		losses, weights := map[string][]float64{}, map[string][][]float64{}
		for name, b := range devices(t) {
			m, d := newModel(t, b, o.options)
			tr := &train.Trainer{Model: m, Drafter: d, Optimizer: train.AdamW{LR: 1e-3}, BalanceAlpha: 1e-2,
				Log: slog.New(slog.DiscardHandler)}
			for range 3 {
				metrics, err := tr.Step(context.Background(), seqs)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				losses[name] = append(losses[name], metrics.Values["loss"])
			}
			for _, p := range m.Params.All() {
				x, err := p.Floats()
				if err != nil {
					t.Fatal(err)
				}
				weights[name] = append(weights[name], x)
			}
			tr.Close()
		}
		if d := apart(losses["cuda:0"], losses["cpu"]); !(d <= o.within) {
			t.Errorf("%+v: losses %v, the CPU's are %v", o.options, losses["cuda:0"], losses["cpu"])
		}
		for i, w := range weights["cpu"] {
			if d := apart(weights["cuda:0"][i], w); !(d <= o.within) {
				t.Errorf("%+v: parameter %d is %g off", o.options, i, d)
			}
		}
	}
}

func TestGreedyTokensAreThoseOfTheCPU(t *testing.T) {
	for _, o := range []model.Options{{}, {Absorbed: true}} {
		tokens := map[string][]int32{}
		for name, b := range devices(t) {
			m, _ := newModel(t, b, o)
			g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2, MaxLen: 24})
			if err != nil {
				t.Fatal(err)
			}
			out, err := g.Generate(context.Background(), []model.Request{
				{Prompt: []int32{3, 1, 4}, MaxTokens: 16, Stop: []int32{}, Sampling: model.Sampling{Greedy: true}},
				{Prompt: []int32{7}, MaxTokens: 16, Stop: []int32{}, Sampling: model.Sampling{Temperature: 1}, Seed: 5},
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, c := range out {
				tokens[name] = append(tokens[name], c.Tokens...)
			}
			g.Close()
		}
		if len(tokens["cpu"]) != 32 || !slices.Equal(tokens["cpu"], tokens["cuda:0"]) {
			t.Errorf("%+v: tokens %v, the CPU's are %v", o, tokens["cuda:0"], tokens["cpu"])
		}
	}
}

// newGRPO returns a GRPO trainer whose reward is for sevens.
func newGRPO(m *model.Model, gen *model.Generator) *rl.GRPO {
	return &rl.GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, Seed: 5, Log: slog.New(slog.DiscardHandler)},
		Sampler: &rollout.Generator{Generator: gen, MaxTokens: 8, Decode: func(ids []int32) string {
			text := ""
			for _, id := range ids {
				text += string("0123456789abcdef"[id])
			}
			return text
		}},
		Data: func(step int) ([]rollout.Prompt, error) {
			prompts := make([]rollout.Prompt, 4)
			for i := range prompts {
				prompts[i] = rollout.Prompt{IDs: []int32{0, int32(2 + (step+i)%14)}, Text: "go"}
			}
			return prompts, nil
		},
		Reward: &reward.Suite{Funcs: []reward.Func{{Name: "sevens", Score: func(_ context.Context,
			s reward.Sample) reward.Verdict {
			return reward.Verdict{Value: float64(strings.Count(s.Completion, "7")) / float64(len(s.IDs)), Status: reward.Wrong}
		}}}},
		G: 4, Steps: 2, FailOnMismatch: true,
	}
}

// On the device too, the rollout's log-probabilities equal the trainer's, bit
// for bit.
func TestGRPOIsOnPolicyBitForBit(t *testing.T) {
	for _, o := range []model.Options{{}, {Absorbed: true}, {Precision: backend.BF16}} {
		m, _ := newModel(t, devices(t)["cuda:0"], o)
		gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 8, MaxLen: 16})
		if err != nil {
			t.Fatal(err)
		}
		g := newGRPO(m, gen)
		for range 2 {
			metrics, err := g.Step(context.Background())
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			if d, ok := metrics.Values[rl.MetricSamplingDifferenceMax]; !ok || d != 0 {
				t.Errorf("%+v: log-probabilities differ by %v (measured: %t)", o, d, ok)
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		gen.Close()
	}
}
