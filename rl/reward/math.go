package reward

import (
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/rl/reward/internal/mathtext"
)

// Math compares the final answer of a completion with a gold answer mathematically:
// 1/2, 0.5, \frac{2}{4} and 50% are equal. Sample.Answer is the gold answer, a string or, if
// several answers are right, a []string. It may be LaTeX, plain text, or a solution that ends
// in an answer.
//
// The answer is the first that is found of these: the content of the last \boxed{…}; the text
// after the last "####", "final answer" or "answer"; the last formula or number. Text before
// </think> is ignored, and text outside of <answer>…</answer> too if there are such tags. A
// box that is not closed is not an answer, and neither is reasoning without </think>.
//
// Numbers may have thousands separators or decimal commas. Currencies, percent signs and units
// are dropped, but 5 a.m. is not 5 p.m. Math also reads fractions, mixed numbers, powers,
// roots, multiples of π and e, and complex numbers. It compares lists and sets in any order,
// tuples, intervals and matrices element by element, unions and inequalities as sets of real
// numbers, and equations up to a factor. x = 5 matches the gold answer 5, and 5 matches
// x = 5. 5% matches the gold answer 5, but 5 does not match 5%.
//
// Two values are equal if their difference is zero as a quotient of polynomials with roots.
// Values with nested roots or functions such as sin and ln are compared numerically at several
// points. If either value has a decimal point, both are rounded to 6 decimals, or to 6 digits
// if these decimals are all zero. The rules are those of Math-Verify
// (huggingface/Math-Verify), with exceptions listed in testdata/math.
//
// Time and memory are limited by the size of the input: the last 512 KiB of a text are
// searched for a box, and the last 16 KiB for other answers. An answer may have 4 KiB, and a
// number 4096 bits. 9^9^9^9 is too big and is not computed.
type Math struct {
	// Boxed accepts only answers in \boxed{…}.
	Boxed bool
}

// Extract returns the answer of a completion that Score compares, as it is written there. ok
// is false if there is no readable answer.
func (m Math) Extract(completion string) (answer string, ok bool) {
	a, err := mathtext.Find(completion, m.Boxed)
	if err != nil {
		return "", false
	}
	return a.Text, true
}

// Score scores one sample: Correct with 1 if the answer equals a gold answer; Wrong with 0 if
// it does not; Unparseable with 0 if there is no answer, or it cannot be read or is too big;
// NotApplicable if no gold answer can be read; Error if Sample.Answer has another type.
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
