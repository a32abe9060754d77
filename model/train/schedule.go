package train

import (
	"fmt"
	"math"
)

// Schedule returns the factor of the learning rates for a step, 1 at their peak. step is
// the number of optimizer steps made before it, tokens the number of tokens that these
// consumed. A Schedule must be a pure function, because a resumed run calls it again.
type Schedule func(step int, tokens int64) float64

// at returns the schedule's value, or otherwise if s is nil.
func (s Schedule) at(step int, tokens int64, otherwise float64) float64 {
	if s == nil {
		return otherwise
	}
	return s(step, tokens)
}

// defaultBiasRate is γ without a schedule: the value that V3 uses until near the end.
const defaultBiasRate = 0.001

// The following functions panic on arguments that make no valid schedule: a factor that is
// negative or not finite, negative steps, an end before the beginning.

// Constant returns the same factor for all steps.
func Constant(factor float64) Schedule {
	mustFactor("Constant", factor)
	return func(int, int64) float64 { return factor }
}

// WarmUp multiplies then by a factor that grows linearly over the first steps: from 1/steps
// in the first step to 1 in step number steps and later. If then is nil, it is 1.
func WarmUp(steps int, then Schedule) Schedule {
	if steps < 0 {
		panic(fmt.Sprintf("train: WarmUp over %d steps, want 0 or more", steps))
	}
	return func(step int, tokens int64) float64 {
		f := then.at(step, tokens, 1)
		if step < steps {
			f *= float64(step+1) / float64(steps)
		}
		return f
	}
}

// Linear is 1 until step from, decreases linearly to floor at step to, and stays there.
func Linear(from, to int, floor float64) Schedule {
	mustFall("Linear", from, to, floor)
	return func(step int, _ int64) float64 {
		return floor + (1-floor)*(1-progress(int64(step), int64(from), int64(to)))
	}
}

// Cosine is 1 until step from, decreases along half a cosine wave to floor at step to, and
// stays there.
func Cosine(from, to int, floor float64) Schedule {
	mustFall("Cosine", from, to, floor)
	return func(step int, _ int64) float64 { return cosine(int64(step), int64(from), int64(to), floor) }
}

func cosine(at, from, to int64, floor float64) float64 {
	return floor + 0.5*(1-floor)*(1+math.Cos(math.Pi*progress(at, from, to)))
}

func mustFactor(name string, factor float64) {
	if err := notNegative("train: "+name+"'s factor", factor); err != nil {
		panic(err.Error())
	}
}

func mustFall(name string, from, to int, floor float64) {
	if from < 0 || to < from {
		panic(fmt.Sprintf("train: %s from step %d to %d, want 0 or more and an end that is not before it", name, from, to))
	}
	mustFactor(name, floor)
}

// progress returns how far at is on the way from from to to, within [0, 1].
func progress(at, from, to int64) float64 {
	switch {
	case at <= from:
		return 0
	case at >= to:
		return 1
	}
	return float64(at-from) / float64(to-from)
}

// V3PeakLR is the peak learning rate of DeepSeek-V3 (§4.2).
const V3PeakLR = 2.2e-4

// V3 is the learning rate schedule of DeepSeek-V3 relative to V3PeakLR (§4.2): 2000 steps
// of linear warm-up, constant until 10T tokens, a cosine to 2.2e-5 at 14.3T, constant for
// another 333B, then 7.3e-6.
func V3(step int, tokens int64) float64 {
	const constant, decayed, last = 10e12, 14.3e12, 14.633e12
	if step < 2000 {
		return float64(step+1) / 2000
	}
	if tokens >= last {
		return 7.3e-6 / V3PeakLR
	}
	return cosine(tokens, constant, decayed, 0.1)
}

// V3BiasRate is γ, the step size of the gates' selection biases, in DeepSeek-V3 (§4.2):
// 0.001 until 14.3T tokens, then 0.
func V3BiasRate(_ int, tokens int64) float64 {
	if tokens < 14.3e12 {
		return 0.001
	}
	return 0
}

// Ramp grows the batch size with the number of tokens consumed, as DeepSeek-V3 did from
// 3072 to 15360 sequences over 469B tokens (§4.2). It grows linearly; how V3's grew is not
// published.
type Ramp struct {
	From, To int   // batch sizes at the beginning and at the end, in sequences
	Tokens   int64 // number of tokens after which To is reached
}

// V3Batch is the batch size ramp of DeepSeek-V3.
var V3Batch = Ramp{From: 3072, To: 15360, Tokens: 469e9}

// At returns the number of sequences of the next batch. It panics if From or To is below 1
// or Tokens is negative.
func (r Ramp) At(tokens int64) int {
	if r.From < 1 || r.To < 1 || r.Tokens < 0 {
		panic(fmt.Sprintf("train: Ramp%+v: want From and To 1 or more, Tokens 0 or more", r))
	}
	return r.From + int(float64(r.To-r.From)*progress(tokens, 0, r.Tokens))
}
