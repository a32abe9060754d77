package main

import (
	"fmt"
	"time"

	"github.com/aha-go/aha/model/train"
)

// estimate returns a line that says how long step m took and about how long the rest of the
// run takes if all steps take as long, or "" if no step remains. evaluation is the measured
// time of an evaluation; 0 means that it is unknown.
func (c *config) estimate(m train.Metrics, evaluation time.Duration) string {
	steps := c.Steps - m.Step
	if steps <= 0 {
		return ""
	}
	text := fmt.Sprintf("step %d took %s; at this rate the remaining %s about %s", m.Step, inUnits(m.Time),
		count(steps, "step takes", "steps take"), inUnits(time.Duration(steps)*m.Time))
	switch n := c.evaluations(m.Step); {
	case n > 0 && evaluation > 0:
		text += fmt.Sprintf(", and %s about %s", count(n, "evaluation", "evaluations"),
			inUnits(time.Duration(n)*evaluation))
	case n > 0:
		text += fmt.Sprintf(", not counting %s", count(n, "evaluation", "evaluations"))
	}
	return text + "\n"
}

// evaluations returns the number of evaluations after the given step.
func (c *config) evaluations(step int) (n int) {
	if c.EvalProblems == 0 {
		return 0
	}
	if c.EvalEvery > 0 {
		n = c.Steps/c.EvalEvery - step/c.EvalEvery
	}
	return n + 1 // the one after training
}

// count returns n and one or many, whichever agrees with n.
func count(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// inUnits formats a time in seconds, minutes or hours, such as "1.5 s", "45 s", "20 min" or
// "3.5 h".
func inUnits(d time.Duration) string {
	switch {
	case d < 9500*time.Millisecond:
		return fmt.Sprintf("%.2g s", d.Seconds())
	case d < 150*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 150*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
