package reward

import (
	"context"
	"math"
	"strings"
	"testing"
)

// byStatus returns a verdict with the status in Sample.Answer.
func byStatus(_ context.Context, s Sample) Verdict {
	return Verdict{Value: 5, Status: s.Answer.(Status)}
}

func TestSoftOverlongPunishment(t *testing.T) {
	small := SoftOverlong{MaxTokens: 100, Cache: 20}
	for _, c := range []struct {
		o      SoftOverlong
		tokens int
		want   float64
		status Status
	}{
		{small, 0, 0, Correct},
		{small, 80, 0, Correct},
		{small, 85, -0.25, Wrong},
		{small, 100, -1, Wrong},
		{small, 5000, -1, Wrong},
		{SoftOverlong{}, 16384, 0, Correct}, // DAPO: 16,384 + 4,096
		{SoftOverlong{}, 18432, -0.5, Wrong},
		{SoftOverlong{}, 20480, -1, Wrong},
	} {
		v := c.o.Score(t.Context(), Sample{IDs: make([]int32, c.tokens)})
		if v.Value != c.want || v.Status != c.status {
			t.Errorf("%+v, %d tokens: %+v, want %v", c.o, c.tokens, v, c.want)
		}
	}
}

func TestCosineReward(t *testing.T) {
	quarter := (1 - math.Sqrt2/2) / 4 // the part of a range of ½ that the cosine has fallen at π/4
	for _, c := range []struct {
		status Status
		tokens int
		want   float64
	}{
		{Correct, 0, 1}, {Correct, 250, 1 - quarter}, {Correct, 500, 0.75}, {Correct, 1000, 0.5}, {Correct, 1500, 0.5},
		{Wrong, 0, -1}, {Wrong, 250, -1 + quarter}, {Wrong, 500, -0.75}, {Wrong, 1000, -0.5}, {Unparseable, 2000, -0.5},
	} {
		v := Cosine{Correct: byStatus}.Score(t.Context(), Sample{IDs: make([]int32, c.tokens), Answer: c.status})
		if math.Abs(v.Value-c.want) > 1e-15 || v.Status != c.status {
			t.Errorf("%v, %d tokens: %+v, want %v", c.status, c.tokens, v, c.want)
		}
	}
	own := Cosine{Correct: byStatus, MaxTokens: 10, CorrectShort: 2}
	if v := own.Score(t.Context(), Sample{IDs: make([]int32, 5), Answer: Correct}); v.Value != 1 {
		t.Errorf("halfway from 2 to 0: %+v", v)
	}
}

func TestGroupLengthReward(t *testing.T) {
	samples := []Sample{
		{Group: 7, IDs: make([]int32, 10), Answer: Correct},
		{Group: 1, IDs: make([]int32, 50), Answer: Wrong},
		{Group: 7, IDs: make([]int32, 30), Answer: Correct},
		{Group: 7, IDs: make([]int32, 20), Answer: Wrong},
		{Group: 1, IDs: make([]int32, 50), Answer: Correct},
		{Group: 7, IDs: make([]int32, 15), Answer: Unparseable},
		{Group: 7, IDs: make([]int32, 25), Answer: Wrong},
		{Group: 7, IDs: make([]int32, 900), Answer: NotApplicable},
	}
	want := []float64{0.5, 0, -0.5, 0, 0, 0, -0.25, 0}
	s := &Suite{Funcs: []Func{{Name: "length", ScoreAll: GroupLength{Correct: byStatus}.ScoreAll}}}
	for i, v := range score(t, s, samples...).Verdicts[0] {
		if v.Value != want[i] || v.Status != samples[i].Answer {
			t.Errorf("sample %d: %+v, want %v", i, v, want[i])
		}
	}
}

func TestLengthRewardsReportMissingData(t *testing.T) {
	for _, c := range []struct {
		score Scorer
		s     Sample
		want  string
	}{
		{SoftOverlong{}.Score, Sample{Completion: "text"}, "Sample.IDs is empty"},
		{SoftOverlong{MaxTokens: 10}.Score, Sample{}, "Cache 4096"},
		{Cosine{}.Score, Sample{}, "Correct function is nil"},
		{Cosine{Correct: byStatus, MaxTokens: -1}.Score, Sample{}, "MaxTokens is -1"},
		{func(ctx context.Context, s Sample) Verdict { return GroupLength{}.ScoreAll(ctx, []Sample{s})[0] }, Sample{},
			"Correct function is nil"},
	} {
		if v := c.score(t.Context(), c.s); v.Status != Error || !strings.Contains(v.Err.Error(), c.want) {
			t.Errorf("%+v, want an Error that says %q", v, c.want)
		}
	}
}
