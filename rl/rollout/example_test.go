package rollout_test

import (
	"context"
	"fmt"
	"log"
	"reflect"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// Four completions of a prompt with the settings of DeepSeek-R1's evaluation: temperature 0.6
// and top-p 0.95.
func ExampleGenerator() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	m, err := model.New(b, model.Tiny(32), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	gen, err := model.NewGenerator(m, model.GeneratorOptions{MaxLen: 32})
	if err != nil {
		log.Fatal(err)
	}
	defer gen.Close()
	g := &rollout.Generator{
		Generator: gen, Decode: func(ids []int32) string { return fmt.Sprint(ids) }, MaxTokens: 8,
		Sampling: model.Sampling{Temperature: 0.6, TopP: 0.95},
	}
	prompts := []rollout.Prompt{{IDs: []int32{1, 2, 3}, Text: "1 2 3"}}
	var samples, again []rollout.Sample
	for _, dst := range []*[]rollout.Sample{&samples, &again} {
		*dst, err = rollout.Complete(context.Background(), g, prompts, rollout.Draw{Seed: 1, N: 4})
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(samples), "completions of", prompts[samples[3].Prompt].Text)
	fmt.Println("the same seed gives the same samples:", reflect.DeepEqual(samples, again))
	// Output:
	// 4 completions of 1 2 3
	// the same seed gives the same samples: true
}
