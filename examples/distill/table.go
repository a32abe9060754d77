package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/aha-go/aha/examples/internal/lab"
)

// row is a row of the table: a student, its results on held-out problems, and the
// cost of its training.
type row struct {
	Name    string  `json:"student"`
	Pass1   float64 `json:"pass1"`
	Pass16  float64 `json:"pass16"`
	Maj16   float64 `json:"maj16"`
	Length  float64 `json:"length"`         // mean tokens of a completion
	Trained int64   `json:"trained_tokens"` // completion tokens trained on, counted once per epoch
	Sampled int64   `json:"sampled_tokens"` // tokens sampled for the training, by the student or its teacher
	FLOP    float64 `json:"flop"`
	Seconds float64 `json:"seconds"` // of training and of sampling the data
	first   []lab.Completion
}

func (r *row) enter(e *lab.Before) {
	r.Pass1, r.Pass16, r.Maj16, r.Length, r.first = e.Pass1, e.Pass16, e.Maj16, e.Length, e.First
}

// Compute counts the multiplications and additions with parameters: with N active
// parameters, a forward pass takes 2·N per token, and forward and backward together
// take 6·N. Prompt tokens are not counted.

// learning returns the FLOP of training on tokens.
func learning(params, tokens int64) float64 { return 6 * float64(params) * float64(tokens) }

// reading returns the FLOP of sampling tokens, or of scoring given ones.
func reading(params, tokens int64) float64 { return 2 * float64(params) * float64(tokens) }

// rlSteps returns the number of GRPO steps, at least 1, that cost at least budget if
// each step samples completions of the given mean length and trains on all of them.
func rlSteps(budget float64, params int64, completions int, length float64) int {
	tokens := int64(float64(completions) * length)
	step := reading(params, tokens) + learning(params, tokens)
	return max(1, int((budget+step-1)/step))
}

// print writes the table of rows to w.
func print(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "student\tpass@1\tpass@16\tmaj@16\tlength\ttrained tokens\tsampled tokens\tTFLOP\tseconds\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%.1f%%\t%.1f%%\t%.1f%%\t%.1f\t%d\t%d\t%.2f\t%.0f\t\n",
			r.Name, 100*r.Pass1, 100*r.Pass16, 100*r.Maj16, r.Length, r.Trained, r.Sampled, r.FLOP/1e12, r.Seconds)
	}
	return t.Flush()
}
