package mtp_test

import (
	"testing"

	"github.com/aha-go/aha/mtp"
)

func TestScheduleSetsLambdaFromTheTokensConsumed(t *testing.T) {
	d := &mtp.MTP{Lambda: 0.7}
	d.Advance(20e12)
	if d.Lambda != 0.7 {
		t.Errorf("without a schedule λ became %g", d.Lambda)
	}
	d.LambdaSchedule = &mtp.V3LambdaSchedule
	for tokens, want := range map[int64]float64{0: 0.3, 10e12 - 1: 0.3, 10e12: 0.1} {
		if d.Advance(tokens); d.Lambda != want {
			t.Errorf("after %d tokens λ is %g, want %g", tokens, d.Lambda, want)
		}
	}
}
