package rl

import (
	"errors"
	"math/rand/v2"

	"github.com/aha-go/aha/model"
)

// Epochs deals a data set out n prompts a step, each epoch in an order of its
// own; where an epoch ends within a step the next one begins. The result is a
// pure function of the step, for GRPO.Data. n is at least 1.
func Epochs(prompts []Prompt, n int, seed uint64) func(step int) ([]Prompt, error) {
	return func(step int) ([]Prompt, error) {
		if len(prompts) == 0 {
			return nil, errors.New("the data set is empty")
		}
		var order []int
		batch := make([]Prompt, n)
		for i := range batch {
			at := step*n + i
			if order == nil || at%len(prompts) == 0 {
				order = rand.New(rand.NewPCG(model.DeriveSeed(seed, "epoch", at/len(prompts)), 0)).Perm(len(prompts))
			}
			batch[i] = prompts[order[at%len(prompts)]]
		}
		return batch, nil
	}
}
