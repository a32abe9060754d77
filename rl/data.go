package rl

import (
	"errors"

	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// Epochs returns a function for GRPO.Data that returns n prompts for each step, and
// shuffles the prompts anew in each epoch. If an epoch ends within a step, the step
// continues with the next epoch. The result depends only on the step. n must be at
// least 1.
func Epochs(prompts []rollout.Prompt, n int, seed uint64) func(step int) ([]rollout.Prompt, error) {
	return func(step int) ([]rollout.Prompt, error) {
		if len(prompts) == 0 {
			return nil, errors.New("the data set is empty")
		}
		var order []int
		batch := make([]rollout.Prompt, n)
		for i := range batch {
			at := step*n + i
			if order == nil || at%len(prompts) == 0 {
				order = train.EpochOrder(seed, at/len(prompts), len(prompts))
			}
			batch[i] = prompts[order[at%len(prompts)]]
		}
		return batch, nil
	}
}
