package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/rl/reward"
)

func TestScoreIsTheShareOfDigitsInTheirPlace(t *testing.T) {
	for answer, want := range map[string]reward.Verdict{
		"12346":  {Value: 1, Status: reward.Correct},
		"12364":  {Value: 0.3, Status: reward.Wrong},
		"123":    {Value: 0.3, Status: reward.Wrong},
		"123466": {Value: 5. / 12, Status: reward.Wrong},
		"":       {Status: reward.Wrong},
	} {
		s := reward.Sample{Completion: answer, Answer: problem("31426")}
		if got := score(t.Context(), s); got != want {
			t.Errorf("%q: %+v, want %+v", answer, got, want)
		}
	}
}

func TestStepsMustBePositive(t *testing.T) {
	_, _, err := run(t.Context(), io.Discard, options{seed: 1})
	if err == nil || !strings.Contains(err.Error(), "-steps 0") {
		t.Errorf("error is %v", err)
	}
}

// 40 of the 200 steps suffice to show that exact match rises.
func TestRewardRaisesExactMatch(t *testing.T) {
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if path := backend.Path(b); testing.Short() || path == "portable" {
		t.Skipf("takes 10 s of CPU with assembly kernels: short %v, kernels %s", testing.Short(), path)
	}
	var out strings.Builder
	before, after, err := run(context.Background(), &out, options{seed: 1, steps: 40})
	t.Logf("seed 1\n%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	if before > 0.3 || after < before+0.2 {
		t.Errorf("exact match %.3f → %.3f, want at most 0.3 before and 0.2 more after", before, after)
	}
}
