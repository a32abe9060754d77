package rl

import (
	"slices"
	"testing"

	"github.com/aha-go/aha/rl/rollout"
)

func TestEpochsShowEveryPromptOnceAnEpoch(t *testing.T) {
	prompts := make([]rollout.Prompt, 7)
	for i := range prompts {
		prompts[i].Answer = i
	}
	data := Epochs(prompts, 3, 1)
	var stream []int
	for step := range 14 { // 42 prompts: 6 epochs
		batch, err := data(step)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := data(step)
		for i := range batch {
			stream = append(stream, batch[i].Answer.(int))
			if again[i].Answer != batch[i].Answer {
				t.Fatalf("step %d differs in a second call", step)
			}
		}
	}
	orders := map[[7]int]bool{}
	for epoch := range slices.Chunk(stream, 7) {
		orders[[7]int(epoch)] = true
		sorted := slices.Sorted(slices.Values(epoch))
		if !slices.Equal(sorted, []int{0, 1, 2, 3, 4, 5, 6}) {
			t.Errorf("epoch %v", epoch)
		}
	}
	if len(orders) < 5 {
		t.Errorf("%d different orders in 6 epochs", len(orders))
	}
}
