package reward

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// CountdownProblem asks for an expression that uses each number exactly once
// and equals the target. Countdown expects it in Sample.Answer.
type CountdownProblem struct {
	Numbers []int // at least one, none negative
	Target  int
}

// Countdown scores the last <answer>…</answer> of a completion as a solution of
// a CountdownProblem. The expression may contain + − * /, parentheses and signs;
// see EvalExpression. Truncated completions are scored as they stand.
//
// The zero value rewards only correctness: 1 or 0. TinyZeroCountdown returns TinyZero's rule.
type Countdown struct {
	// Correct is the reward of a solution; 0 means 1.
	Correct float64
	// Wrong is the reward of an answer that is not a solution, even if it is not an
	// expression. A completion without an answer always gets 0.
	Wrong float64
	// LastLine ignores answers above the last line of the completion, and any
	// answer if the completion ends with a newline.
	LastLine bool
}

// TinyZeroCountdown returns the rule of TinyZero
// (Jiayi-Pan/TinyZero, verl/utils/reward_score/countdown.py): 1 for a solution,
// 0.1 for any other answer, 0 for none, on the last line only.
//
// TinyZero evaluates with Python's eval in floating point and compares within 1e-5. This
// package computes exactly and does not accept what eval does: power (3**2), floor division
// (7//2), and decimals ("1.5" counts as a use of 1 and 5 in TinyZero). Such answers get 0.1.
func TinyZeroCountdown() Countdown { return Countdown{Wrong: 0.1, LastLine: true} }

// Score scores one sample: Correct for a solution; Wrong for a well-formed expression that is
// not a solution (other numbers, another value, division by zero); Unparseable for an answer
// that is not an expression, or no answer; Error if Sample.Answer is not a valid
// CountdownProblem.
func (c Countdown) Score(_ context.Context, s Sample) Verdict {
	problem, ok := s.Answer.(CountdownProblem)
	if !ok {
		return failed("countdown: Sample.Answer is %T, want reward.CountdownProblem", s.Answer)
	}
	text := s.Completion
	if c.LastLine {
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	answer, ok := LastAnswer(text)
	if !ok {
		return Verdict{Status: Unparseable, Err: errors.New("countdown: no <answer>…</answer>")}
	}
	status, err := problem.Check(answer)
	v := Verdict{Status: status, Err: err}
	switch {
	case status == Correct && c.Correct == 0:
		v.Value = 1
	case status == Correct:
		v.Value = c.Correct
	case status.Scored():
		v.Value = c.Wrong
	}
	return v
}

// Check checks an expression without tags, with the statuses of Countdown.Score. The error is
// nil for Correct, and otherwise the reason.
func (p CountdownProblem) Check(expression string) (Status, error) {
	if len(p.Numbers) == 0 || slices.Min(p.Numbers) < 0 {
		return Error, fmt.Errorf("countdown: problem has numbers %d, want at least one and none negative", p.Numbers)
	}
	value, numbers, err := EvalExpression(expression)
	if err != nil && !errors.Is(err, ErrDivisionByZero) {
		return Unparseable, fmt.Errorf("countdown: answer is not an expression: %w", err)
	}
	given, used := slices.Sorted(slices.Values(p.Numbers)), slices.Sorted(slices.Values(numbers))
	switch {
	case !slices.Equal(given, used):
		return Wrong, fmt.Errorf("countdown: uses %d, want %d", used, given)
	case err != nil:
		return Wrong, fmt.Errorf("countdown: %w", err)
	case value.Cmp(new(big.Rat).SetInt64(int64(p.Target))) != 0:
		return Wrong, fmt.Errorf("countdown: equals %s, want %d", value.RatString(), p.Target)
	}
	return Correct, nil
}

// AfterThinking returns the part of a completion after its reasoning: the text after the last
// </think>, "" if a <think> is not closed, and the whole completion if it has neither tag.
func AfterThinking(completion string) string {
	if i := strings.LastIndex(completion, "</think>"); i >= 0 {
		return completion[i+len("</think>"):]
	}
	if strings.Contains(completion, "<think>") {
		return ""
	}
	return completion
}

// LastAnswer returns the text inside the last <answer>…</answer>, without surrounding white
// space. ok is false if there is none. Tags are matched from the left: an <answer> inside an
// open answer is text.
func LastAnswer(text string) (answer string, ok bool) {
	for {
		_, rest, open := strings.Cut(text, "<answer>")
		body, after, closed := strings.Cut(rest, "</answer>")
		if !open || !closed {
			return answer, ok
		}
		answer, ok, text = strings.TrimSpace(body), true, after
	}
}
