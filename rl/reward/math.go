package reward

import (
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/rl/reward/internal/mathtext"
)

// Math compares the final answer of a completion with a gold answer as mathematics:
// 1/2, 0.5, \frac{2}{4} and 50% are one answer. Sample.Answer is the gold answer, a
// string or, if several are right, a []string: LaTeX, plain text, or a solution that
// ends in one.
//
// The answer is, in this order, what the last \boxed{…} holds; what follows the last
// "####", "final answer" or "answer"; and the last formula or number. Text up to
// </think> is left out of account, and so is what is outside <answer>…</answer> if
// there are such tags. An answer that does not end, in a box or in reasoning without
// </think>, is none.
//
// Numbers are read with separators of thousands and decimal commas, currencies, percent
// signs and units, which are dropped, though 5 a.m. is not 5 p.m.; as fractions, mixed numbers, powers, roots,
// multiples of π and e, and complex numbers. Lists and sets are compared without order,
// tuples, intervals and matrices place by place, unions and inequalities as sets of
// real numbers, and relations up to a factor. x = 5 answers a question for 5, and 5 one
// for x = 5; 5% answers one for 5, but 5 none for 5%.
//
// Two values are equal if their difference is zero as a quotient of polynomials with
// roots; or, with functions such as sin and ln or nested roots, numerically at several
// points. If either is written with a decimal point, both are rounded to 6 decimals, or
// to 6 digits where these are all zero. The rules are those of Math-Verify
// (huggingface/Math-Verify), but for cases that testdata/math lists.
//
// Time and memory are bounded by budgets, not by a clock: of text, 512 KiB at the end is
// searched for a box, and 16 KiB for other answers; an answer has up to 4 KiB, and a
// number up to 4096 bits. 9^9^9^9 is too big, and never computed.
type Math struct {
	// Boxed takes no answer but \boxed{…}.
	Boxed bool
}

// Extract returns the answer of a completion that Score compares, as it is written there, and
// whether there is one that can be read.
func (m Math) Extract(completion string) (answer string, ok bool) {
	a, err := mathtext.Find(completion, m.Boxed)
	if err != nil {
		return "", false
	}
	return a.Text, true
}

// Score judges one sample: Correct with 1 for the gold answer; Wrong with 0 for
// another one; Unparseable with 0 if there is no answer, or one that cannot be read or
// is too big; NotApplicable if no gold answer can be read; Error if Sample.Answer is of
// another type.
func (m Math) Score(_ context.Context, s Sample) Verdict {
	var golds []string
	switch answer := s.Answer.(type) {
	case string:
		golds = []string{answer}
	case []string:
		golds = answer
	default:
		return failed("math: Sample.Answer is %T, want string or []string", s.Answer)
	}
	var read []*mathtext.Answer
	err := errors.New("there is none")
	for _, text := range golds {
		var gold *mathtext.Answer
		if gold, err = mathtext.Gold(text); err == nil {
			read = append(read, gold)
		}
	}
	if len(read) == 0 {
		return Verdict{Status: NotApplicable, Err: fmt.Errorf("math: the gold answer: %w", err)}
	}
	answer, err := mathtext.Find(s.Completion, m.Boxed)
	if err != nil {
		return Verdict{Status: Unparseable, Err: fmt.Errorf("math: %w", err)}
	}
	for _, gold := range read {
		var equal bool
		if equal, err = gold.Equal(answer); equal {
			return pass(true)
		}
	}
	switch {
	case errors.Is(err, mathtext.ErrTooBig):
		return Verdict{Status: Unparseable, Err: fmt.Errorf("math: %.100q: %w", answer.Text, err)}
	case err != nil:
		return Verdict{Status: Wrong, Err: fmt.Errorf("math: %.100q: %w", answer.Text, err)}
	}
	return Verdict{Status: Wrong, Err: fmt.Errorf("math: %.100q, want %.100q", answer.Text, read[0].Text)}
}
