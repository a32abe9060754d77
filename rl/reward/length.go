package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Scorer is the type of Func.Score, for rewards that use the verdict of another.
type Scorer func(ctx context.Context, s Sample) Verdict

// tokensOf returns the number of completion tokens of a sample. If there are none but there
// is a text, the caller has not set IDs, and every length reward would be constant; this is
// an error.
func tokensOf(s Sample) (int, error) {
	if len(s.IDs) == 0 && s.Completion != "" {
		return 0, fmt.Errorf("length: Sample.IDs is empty for a completion of %d bytes", len(s.Completion))
	}
	return len(s.IDs), nil
}

var errNoCorrect = errors.New("length: the Correct function is nil")

// SoftOverlong is DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13): 0 up to
// MaxTokens−Cache tokens, then falling linearly to −1 at MaxTokens, and −1 beyond. The status
// is Correct for 0, otherwise Wrong.
type SoftOverlong struct {
	MaxTokens int // 0 means 20480
	Cache     int // number of tokens over which the punishment grows; 0 means 4096
}

// Score scores one sample by the length of Sample.IDs.
func (o SoftOverlong) Score(_ context.Context, s Sample) Verdict {
	if o.MaxTokens == 0 {
		o.MaxTokens = 20480
	}
	if o.Cache == 0 {
		o.Cache = 4096
	}
	if o.Cache < 0 || o.Cache > o.MaxTokens {
		return failed("length: Cache %d is not within 0 and MaxTokens %d", o.Cache, o.MaxTokens)
	}
	tokens, err := tokensOf(s)
	if err != nil {
		return Verdict{Status: Error, Err: err}
	}
	over := tokens - (o.MaxTokens - o.Cache)
	if over <= 0 {
		return Verdict{Status: Correct}
	}
	return Verdict{Value: -min(1, float64(over)/float64(o.Cache)), Status: Wrong}
}

// Cosine is the cosine-scaled reward (arXiv 2502.03373; open-r1's
// get_cosine_scaled_reward). As the length grows, the reward follows half a cosine wave from
// the short value to the long value. Correct answers get more if they are short; wrong ones
// lose less if they are long, which leaves room to explore. Lengths over MaxTokens count as
// MaxTokens, since the cosine would rise again.
type Cosine struct {
	// Correct decides which answers are correct; Unparseable counts as wrong. A verdict of
	// Correct that is not scored is returned as it is.
	Correct Scorer
	// MaxTokens is the length with the long value; 0 means 1000.
	MaxTokens int
	// CorrectShort, CorrectLong, WrongShort and WrongLong are the short and long values of
	// correct and wrong answers. If all are 0, they are 1, 0.5, −1 and −0.5.
	CorrectShort, CorrectLong, WrongShort, WrongLong float64
}

// Score scores one sample by the length of Sample.IDs. The status is that of Correct.
func (c Cosine) Score(ctx context.Context, s Sample) Verdict {
	if c.Correct == nil {
		return Verdict{Status: Error, Err: errNoCorrect}
	}
	if c.MaxTokens == 0 {
		c.MaxTokens = 1000
	}
	if c.MaxTokens < 0 {
		return failed("length: MaxTokens is %d", c.MaxTokens)
	}
	if c.CorrectShort == 0 && c.CorrectLong == 0 && c.WrongShort == 0 && c.WrongLong == 0 {
		c.CorrectShort, c.CorrectLong, c.WrongShort, c.WrongLong = 1, 0.5, -1, -0.5
	}
	tokens, err := tokensOf(s)
	if err != nil {
		return Verdict{Status: Error, Err: err}
	}
	v := c.Correct(ctx, s)
	if !v.Status.Scored() {
		return v
	}
	short, long := c.WrongShort, c.WrongLong
	if v.Status == Correct {
		short, long = c.CorrectShort, c.CorrectLong
	}
	progress := min(1, float64(tokens)/float64(c.MaxTokens))
	v.Value = long + float64(0.5*(short-long)*(1+math.Cos(math.Pi*progress)))
	return v
}

// GroupLength is the length reward of Kimi k1.5 (arXiv 2501.12599 §2.3.3). With the minimum
// and maximum number of tokens over the samples of one Sample.Group, let
//
//	λ = 0.5 − (tokens − min) / (max − min)
//
// Correct answers get λ, others min(0, λ). If max = min, all get 0. Kimi adds this reward with
// a weight, after a first phase without it.
type GroupLength struct {
	// Correct decides which answers are correct; Unparseable counts as wrong. Samples that it
	// does not score keep its verdict, and do not count in min and max.
	Correct Scorer
}

// ScoreAll scores the samples of all groups. The status is that of Correct.
func (g GroupLength) ScoreAll(ctx context.Context, samples []Sample) []Verdict {
	type span struct{ min, max int }
	verdicts := make([]Verdict, len(samples))
	groups := map[int]span{}
	for i, s := range samples {
		tokens, err := tokensOf(s)
		if g.Correct == nil {
			err = errNoCorrect
		}
		if err != nil {
			verdicts[i] = Verdict{Status: Error, Err: err}
			continue
		}
		verdicts[i] = g.Correct(ctx, s)
		if !verdicts[i].Status.Scored() {
			continue
		}
		r, seen := groups[s.Group]
		if !seen {
			r = span{tokens, tokens}
		}
		groups[s.Group] = span{min(r.min, tokens), max(r.max, tokens)}
	}
	for i, s := range samples {
		v := &verdicts[i]
		if !v.Status.Scored() {
			continue
		}
		v.Value = 0
		if r := groups[s.Group]; r.max > r.min {
			v.Value = 0.5 - float64(len(s.IDs)-r.min)/float64(r.max-r.min)
		}
		if v.Status != Correct {
			v.Value = min(0, v.Value)
		}
	}
	return verdicts
}
