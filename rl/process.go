package rl

import (
	"context"
	"fmt"
	"math"
)

// StepReward is the reward of a step of a completion.
type StepReward struct {
	Token int     // index of the completion token that ends the step
	Value float64 // reward of the step
}

// process calls Process and checks the rewards that it returns.
func (g *GRPO) process(ctx context.Context, r *Rollout) error {
	if g.Process == nil {
		return nil
	}
	steps, err := g.Process(ctx, r)
	if err != nil {
		return fmt.Errorf("rl: step %d: GRPO.Process: %w", r.Step, err)
	}
	if len(steps) != len(r.Samples) {
		return fmt.Errorf("rl: step %d: GRPO.Process returned the steps of %d samples, want %d", r.Step, len(steps),
			len(r.Samples))
	}
	for i, of := range steps {
		before := -1
		for j, s := range of {
			if n := len(r.Samples[i].IDs); s.Token <= before || s.Token >= n {
				return fmt.Errorf("rl: step %d: GRPO.Process returned token %d as the end of step %d of sample %d: "+
					"want one after token %d of %d", r.Step, s.Token, j, i, before, n)
			}
			if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
				return fmt.Errorf("rl: step %d: GRPO.Process returned %g for step %d of sample %d", r.Step, s.Value, j, i)
			}
			before = s.Token
		}
	}
	r.Steps = steps
	return nil
}

// addSteps adds the advantages of process supervision (arXiv 2402.03300 §4.1.3). The reward
// of a step is normalised over all steps of its group of g samples, and the advantage of a
// token is the sum over the steps that end at it or later. If the steps of a group have
// different rewards, ZeroStd becomes false even if its outcomes are equal.
func (a *Advantages) addSteps(steps [][]StepReward, g int, scaling Scaling, eps float64) {
	of := func(lo, hi int) (values []float64) {
		for i := lo; i < hi; i++ {
			for _, s := range steps[i] {
				if a.Scored[i] {
					values = append(values, s.Value)
				}
			}
		}
		return values
	}
	scale := func(values []float64) float64 {
		if len(values) == 0 || scaling == ScaleNone {
			return 1
		}
		_, std := meanStd(values)
		return std + eps
	}
	batch := scale(of(0, len(steps)))
	for p := range a.ZeroStd {
		values := of(p*g, (p+1)*g)
		if equal(values) {
			continue
		}
		a.ZeroStd[p] = false
		mean, _ := meanStd(values)
		by := batch
		if scaling == ScaleGroup {
			by = scale(values)
		}
		for i := p * g; i < (p+1)*g; i++ {
			if !a.Scored[i] {
				continue
			}
			for _, s := range steps[i] {
				for t := range s.Token + 1 {
					a.Token[i][t] += (s.Value - mean) / by
				}
			}
		}
	}
}

// equal reports whether all values are equal, which holds for an empty list.
func equal(values []float64) bool {
	for _, v := range values {
		if v != values[0] {
			return false
		}
	}
	return true
}
