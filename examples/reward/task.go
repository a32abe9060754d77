package main

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

const (
	digits = 5
	rows   = digits + 1 + digits // tokens that a sequence predicts: all but its first token
)

// score is the reward: 1 for the sorted digits, otherwise half the share of characters at the right position.
func score(_ context.Context, s reward.Sample) reward.Verdict {
	want := s.Answer.(problem).sorted()
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

// problem is the digits to sort, such as "31426".
type problem string

func (p problem) sorted() string {
	text := []byte(p)
	slices.Sort(text)
	return string(text)
}

// unseen reports whether a problem is reserved for the evaluation, as an eighth of all problems are. It depends on the
// sorted digits, so that no permutation of such a problem occurs in training.
func (p problem) unseen() bool {
	h := fnv.New32a()
	h.Write([]byte(p.sorted()))
	return h.Sum32()%8 == 0
}

func draw(rng *rand.Rand, unseen bool) problem {
	for {
		text := make([]byte, digits)
		for i := range text {
			text[i] = byte('0' + rng.IntN(10))
		}
		if p := problem(text); p.unseen() == unseen {
			return p
		}
	}
}

// prompts returns n random problems as prompts for GRPO and the evaluation.
func prompts(rng *rand.Rand, n int, unseen bool) []rollout.Prompt {
	out := make([]rollout.Prompt, n)
	for i := range out {
		p := draw(rng, unseen)
		out[i] = rollout.Prompt{IDs: encode(string(p) + "="), Text: string(p) + "=", Answer: p}
	}
	return out
}

// solutions returns n solved problems for supervised fine-tuning. The loss is over the answers only.
func solutions(rng *rand.Rand, n int) []model.Sequence {
	out := make([]model.Sequence, n)
	for i := range out {
		p := draw(rng, false)
		out[i] = model.Sequence{IDs: append(encode(string(p)+"="+p.sorted()), end), Weight: make([]float32, rows)}
		for j := digits; j < rows; j++ {
			out[i].Weight[j] = 1
		}
	}
	return out
}

// vocabulary has a token for each character and one that ends an answer.
var vocabulary = must(tokenizer.NewCharacters("0123456789=", tokenizer.Added{Content: "<end>", Special: true}))

const end = 0

func encode(text string) []int32 { return must(vocabulary.Encode(text)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// config returns a small config of DeepSeek-V3's architecture: latent attention, one dense layer, and one MoE layer of
// 4 routed experts (top-2) and a shared expert.
func config() model.Config {
	c := model.Tiny(vocabulary.Len())
	c.MaxPositionEmbeddings, c.EOSTokenID = 16, model.TokenIDs{end}
	c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 64, 128, 64
	c.NumHiddenLayers, c.NRoutedExperts, c.NumNextNPredictLayers = 2, 4, 0
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 32, 32, 16, 16, 16
	return c
}
