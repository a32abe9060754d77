package code_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/code"
)

func ExampleVerifier() {
	verifier := &code.Verifier{Limits: code.Limits{Wall: time.Minute}, Total: 2 * time.Minute}
	suite := &reward.Suite{
		Funcs:   []reward.Func{{Name: "code", Score: verifier.Score}},
		Timeout: 3 * time.Minute,
	}
	problem := code.Problem{Language: code.Go, Function: "Median", Tests: []code.Test{
		{Args: json.RawMessage(`[[3, 1, 2]]`), Want: json.RawMessage(`2`)},
		{Args: json.RawMessage(`[[4, 1, 3, 2]]`), Want: json.RawMessage(`2.5`)},
	}}
	const program = `package main

import "slices"

func Median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}
`
	scores, err := suite.Score(context.Background(), []reward.Sample{
		{Completion: "<think>Sort, take the middle.</think>\n```go\n" + program + "```\n", Answer: problem},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	v := scores.Verdicts[0][0]
	fmt.Println(v.Value, v.Status, v.Err)
	// Output:
	// 0 wrong code: test 1: returns "3", want "2.5"
}
