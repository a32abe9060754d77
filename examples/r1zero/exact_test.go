package main

import (
	"fmt"
	"testing"
)

func TestRolloutAndTrainerAgreeBitForBit(t *testing.T) {
	if _, result := reference(t); result["logp_diff_max"] != 0.0 {
		t.Errorf("logp_diff_max is %v", result["logp_diff_max"])
	}
}

func TestSameSeedSameBitsWhateverGOMAXPROCS(t *testing.T) {
	for n := 1; n <= 2; n++ {
		out := t.TempDir()
		c := command(t, "-json", "-out", out)
		c.Env = append(c.Env, fmt.Sprint("GOMAXPROCS=", n))
		_, result := mustFinish(t, c)
		wantUndisturbed(t, fmt.Sprint("GOMAXPROCS=", n), out, result)
	}
}

func TestSeedAndControlChangeTheRun(t *testing.T) {
	_, want := reference(t)
	for _, args := range [][]string{{"-seed", "2"}, {"-control", "shuffled"}} {
		_, result := must(t, t.TempDir(), args...)
		if result["weights_sha256"] == want["weights_sha256"] {
			t.Errorf("%v: the same weights as with seed 1", args)
		}
		if result["logp_diff_max"] != 0.0 {
			t.Errorf("%v: logp_diff_max is %v", args, result["logp_diff_max"])
		}
	}
}
