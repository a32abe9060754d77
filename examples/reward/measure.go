package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/aha-go/aha/rl"
)

// measure returns the share of correct answers to 256 inputs that are never trained on. It prints that share and the
// first answer to each of the first 6 inputs.
func measure(ctx context.Context, w io.Writer, e rl.Evaluation, when string) (float64, error) {
	questions := prompts(rand.New(rand.NewPCG(1, 0)), 256, true)
	found, err := e.Run(ctx, questions)
	if err != nil {
		return 0, err
	}
	match := found.Sources[0].Mean
	fmt.Fprintf(w, "%s, exact match on %d unseen inputs: %.3f\n ", when, len(questions), match)
	for i := range 6 {
		fmt.Fprintf(w, " %s%s", questions[i].Text, found.Samples[i*e.N].Text)
	}
	fmt.Fprintln(w)
	return match, nil
}
