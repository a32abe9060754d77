package lab

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/moe"
	"github.com/aha-go/aha/mtp"
)

// Base trains base models on the corpus of imperfect search traces.
type Base struct {
	Dir   string // folder of the checkpoints; if training has finished there, the model is loaded
	Seed  uint64
	Scale Scale
	// Unbalanced turns the bias update and the sequence-wise balance loss off, as a control
	// experiment.
	Unbalanced bool
	OnStep     func(train.Metrics)
	Log        *slog.Logger
}

// biasRate is the bias update speed γ. It is larger than DeepSeek-V3's 0.001, since
// training has thousands of steps, not millions.
const biasRate = 0.01

// balanceAlpha is the coefficient of the sequence-wise balance loss, a tenth of
// DeepSeek-V3's. Sequences have about 60 tokens here, not 4,096, and a balance of each of
// them increases the loss (by 0.03 nats at the end of base training with 1e-4).
const balanceAlpha = 1e-5

// Train trains m up to the end of base training. It continues from the newest checkpoint
// in Dir, which may be the last one. If the config of m has modules of multi-token
// prediction, Train adds them to m and trains them too.
func (b Base) Train(ctx context.Context, m *model.Model) error {
	t, err := b.trainer(m)
	if err != nil {
		return err
	}
	defer t.Close()
	batches := b.batches()
	if err := t.Run(ctx, train.DataFunc(func(step int) ([]model.Sequence, error) {
		return sequences(batches.Batch(step)), nil
	})); err != nil {
		return fmt.Errorf("base model: %w", err)
	}
	return nil
}

func (b Base) batches() *countdown.Batches {
	return &countdown.Batches{Corpus: b.Scale.Corpus(b.Seed), Tokens: b.Scale.BaseTokens}
}

func sequences(documents [][]int32) []model.Sequence {
	var seqs []model.Sequence
	for _, ids := range documents {
		seqs = append(seqs, model.Sequence{IDs: ids})
	}
	return seqs
}

// trainer returns the trainer for Train. It adds the modules of multi-token prediction to m.
func (b Base) trainer(m *model.Model) (*train.Trainer, error) {
	t := &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: cmp.Or(b.Scale.BaseRate, 3e-3)},
		Schedule: train.WarmUp(50, train.Linear(b.Scale.BaseSteps/2, b.Scale.BaseSteps, 0)),
		Steps:    b.Scale.BaseSteps, Dir: b.Dir, SaveEvery: max(b.Scale.BaseSteps/8, 1), KeepLast: 2,
		BalanceAlpha: balanceAlpha, BiasRate: train.Constant(biasRate),
		Seed: b.Seed, Settings: struct {
			Scale      Scale `json:"scale"`
			Unbalanced bool  `json:"unbalanced"`
		}{b.Scale.Base(), b.Unbalanced},
		OnStep: b.OnStep, Log: b.Log,
	}
	if b.Unbalanced {
		t.BalanceAlpha, t.BiasRate = 0, train.Constant(0)
	}
	if m.Config.NumNextNPredictLayers > 0 {
		d, err := mtp.New(m)
		if err != nil {
			return nil, err
		}
		t.Drafter = d
	}
	return t, nil
}

// Base returns a Scale with only the fields that determine the base model.
func (s Scale) Base() Scale {
	return Scale{Task: s.Task, BaseSteps: s.BaseSteps, BaseTokens: s.BaseTokens, BaseRate: s.BaseRate}
}

// Balance computes MaxVio over windows of at least 8,192 assignments per layer.
type Balance struct {
	window map[string][]int
	// Windows holds MaxVio, averaged over the layers, of each completed window.
	Windows []float64
}

// windowSize is the minimum number of assignments per layer of a window: with fewer, some
// expert looks overloaded by chance.
const windowSize = 8192

// Add adds the loads of one step, by layer.
func (b *Balance) Add(loads map[string][]int) {
	if b.window == nil {
		b.window = map[string][]int{}
	}
	full := len(loads) > 0
	for name, load := range loads {
		if b.window[name] == nil {
			b.window[name] = make([]int, len(load))
		}
		total := 0
		for i, n := range load {
			b.window[name][i] += n
			total += b.window[name][i]
		}
		full = full && total >= windowSize
	}
	if !full {
		return
	}
	mean := 0.0
	for _, name := range slices.Sorted(maps.Keys(b.window)) {
		mean += moe.MaxVio(b.window[name]) / float64(len(b.window))
	}
	b.Windows = append(b.Windows, mean)
	b.window = nil
}

// First returns the mean of the oldest n windows, or 0 if there are none.
func (b *Balance) First(n int) float64 { return mean(b.Windows[:min(n, len(b.Windows))]) }

// Last returns the mean of the newest n windows, or 0 if there are none.
func (b *Balance) Last(n int) float64 { return mean(b.Windows[max(len(b.Windows)-n, 0):]) }

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}
