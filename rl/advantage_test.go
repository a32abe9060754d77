package rl

import (
	"errors"
	"math"
	"testing"

	"github.com/aha-go/aha/rl/reward"
)

func scored(values ...float64) []reward.Verdict {
	v := make([]reward.Verdict, len(values))
	for i, x := range values {
		v[i] = reward.Verdict{Value: x, Status: reward.Wrong}
	}
	return v
}

func near(t *testing.T, name string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.17g, want %.17g within %g", name, got, want, tolerance)
	}
}

func TestAdvantagesByHand(t *testing.T) {
	// Group 0: rewards 1 0 0 1; mean 1/2, squares 4·1/4 = 1, std √(1/3) = 0.577350…
	// Group 1: rewards 0 3 1.5 1.5; mean 3/2, squares 2·9/4 = 9/2, std √(4.5/3) = √1.5.
	rewards := scored(1, 0, 0, 1, 0, 3, 1.5, 1.5)
	const eps = 1e-4
	s0, s1 := math.Sqrt(1./3), math.Sqrt(1.5)
	// Batch: mean 1, squares 0+1+1+0+1+4+.25+.25 = 7.5, std √(7.5/7).
	sb := math.Sqrt(7.5 / 7)
	for _, c := range []struct {
		scaling Scaling
		want    [8]float64
	}{
		{"", [8]float64{.5 / (s0 + eps), -.5 / (s0 + eps), -.5 / (s0 + eps), .5 / (s0 + eps), -1.5 / (s1 + eps),
			1.5 / (s1 + eps), 0, 0}},
		{ScaleBatch, [8]float64{.5 / (sb + eps), -.5 / (sb + eps), -.5 / (sb + eps), .5 / (sb + eps), -1.5 / (sb + eps),
			1.5 / (sb + eps), 0, 0}},
		{ScaleNone, [8]float64{.5, -.5, -.5, .5, -1.5, 1.5, 0, 0}},
	} {
		a := GroupAdvantages(rewards, 4, c.scaling, 0)
		for i, want := range c.want {
			near(t, string(c.scaling), a.Value[i], want, 1e-15)
		}
		near(t, "std of group 0", a.Std[0], s0, 1e-15)
		near(t, "std of group 1", a.Std[1], s1, 1e-15)
		if a.ZeroStd[0] || a.ZeroStd[1] {
			t.Errorf("%q: ZeroStd is set for groups with spread", c.scaling)
		}
	}
	verl := GroupAdvantages(rewards, 4, ScaleGroup, 1e-6)
	near(t, "verl's epsilon", verl.Value[0], .5/(s0+1e-6), 1e-15)
}

func TestGroupWithoutSpreadHasNoAdvantage(t *testing.T) {
	// In float64 the mean of three times 0.1 is not 0.1. The advantage must be 0, not 1e-17
	// divided by the epsilon.
	a := GroupAdvantages(scored(.1, .1, .1, 0, 1, 2), 3, ScaleGroup, 1e-12)
	for i := range 3 {
		if a.Value[i] != 0 {
			t.Errorf("advantage %d of equal rewards = %g", i, a.Value[i])
		}
	}
	if !a.ZeroStd[0] || a.ZeroStd[1] || a.ZeroStdShare() != 0.5 {
		t.Errorf("ZeroStd %v, share %g", a.ZeroStd, a.ZeroStdShare())
	}
}

func TestSamplesWithoutRewardStayOut(t *testing.T) {
	boom := errors.New("boom")
	r := scored(1, 9, 3, 9, 5, 1, 9, 9)
	r[1] = reward.Verdict{Status: reward.NotApplicable}
	r[3] = reward.Verdict{Status: reward.Timeout, Err: boom}
	r[6] = reward.Verdict{Status: reward.Error, Err: boom}
	r[7] = reward.Verdict{Status: reward.Error, Err: boom}
	a := GroupAdvantages(r, 4, ScaleNone, 0)
	// Group 0 has 1 and 3 (mean 2), group 1 has 5 and 1 (mean 3).
	for i, want := range []float64{-1, 0, 1, 0, 2, -2, 0, 0} {
		near(t, "advantage", a.Value[i], want, 0)
		if a.Scored[i] != r[i].Status.Scored() {
			t.Errorf("sample %d: scored %v", i, a.Scored[i])
		}
	}
	near(t, "mean", a.Mean[0], 2, 0)
	near(t, "std", a.Std[0], math.Sqrt2, 1e-15) // √((1+1)/1)

	lone := scored(1, 0)
	lone[1] = reward.Verdict{Status: reward.Timeout, Err: boom}
	if a := GroupAdvantages(lone, 2, ScaleGroup, 0); a.Value[0] != 0 || !a.ZeroStd[0] {
		t.Errorf("one scored sample: advantage %g, ZeroStd %v", a.Value[0], a.ZeroStd[0])
	}
}
