package reward

import (
	"strings"
	"testing"
)

func TestCountdownRules(t *testing.T) {
	problem := CountdownProblem{Numbers: []int{3, 5, 5}, Target: 20}
	for _, c := range []struct {
		name, completion string
		status           Status
		tinyZero         float64 // reward by TinyZeroCountdown
	}{
		{"solution", "<think>5*5=25</think><answer>5*(5+3)-20</answer> no <answer> (3 * 5) + 5 </answer>", Correct, 1},
		{"any order and signs", "<answer>5--3*5</answer>", Correct, 1},
		{"text after the answer", "<answer>3*5+5</answer> done", Correct, 1},
		{"another value", "<answer>5+5+3</answer>", Wrong, 0.1},
		{"a number unused", "<answer>5*5</answer>", Wrong, 0.1},
		{"a number twice", "<answer>3*5+5+5-5</answer>", Wrong, 0.1},
		{"another number", "<answer>4*5</answer>", Wrong, 0.1},
		{"division by zero", "<answer>3/(5-5)</answer>", Wrong, 0.1},
		{"equation", "<answer>3*5+5=20</answer>", Unparseable, 0.1},
		{"words", "<answer>twenty</answer>", Unparseable, 0.1},
		{"empty answer", "<answer></answer>", Unparseable, 0.1},
		{"nested tag", "<answer><answer>3*5+5</answer>", Unparseable, 0.1},
		{"later answer counts", "<answer>3*5+5</answer><answer>?</answer>", Unparseable, 0.1},
		{"no answer", "3*5+5", Unparseable, 0},
		{"unclosed answer", "<answer>3*5+5", Unparseable, 0},
		{"nothing", "", Unparseable, 0},
	} {
		v := TinyZeroCountdown().Score(t.Context(), Sample{Completion: c.completion, Answer: problem})
		if v.Status != c.status || v.Value != c.tinyZero {
			t.Errorf("%s: %+v, want %v with %v", c.name, v, c.status, c.tinyZero)
		}
		if (v.Err == nil) != (c.status == Correct) {
			t.Errorf("%s: error %v for a %v verdict", c.name, v.Err, v.Status)
		}
		accuracy := 0.0
		if c.status == Correct {
			accuracy = 1
		}
		v = Countdown{}.Score(t.Context(), Sample{Completion: c.completion, Answer: problem, Truncated: true})
		if v.Status != c.status || v.Value != accuracy {
			t.Errorf("%s: accuracy %+v, want %v with %v", c.name, v, c.status, accuracy)
		}
	}
}

func TestTinyZerosEvalHolesAreClosed(t *testing.T) {
	for answer, problem := range map[string]CountdownProblem{
		"3**2":  {Numbers: []int{2, 3}, Target: 9},
		"7//2":  {Numbers: []int{2, 7}, Target: 3},
		"1.5*2": {Numbers: []int{1, 5, 2}, Target: 3},
	} {
		v := TinyZeroCountdown().Score(t.Context(), Sample{Completion: "<answer>" + answer + "</answer>", Answer: problem})
		if v.Status != Unparseable || v.Value != 0.1 {
			t.Errorf("%s: %+v, want Unparseable with 0.1", answer, v)
		}
	}
}

func TestOnlyTinyZeroLimitsTheAnswerToTheLastLine(t *testing.T) {
	for _, text := range []string{"<answer>4+5</answer>\n", "<answer>4+5</answer>\nso 9", "<answer>\n4+5\n</answer>"} {
		s := Sample{Completion: text, Answer: CountdownProblem{Numbers: []int{4, 5}, Target: 9}}
		if v := TinyZeroCountdown().Score(t.Context(), s); v.Status != Unparseable || v.Value != 0 {
			t.Errorf("%q by TinyZero: %+v, want no answer", text, v)
		}
		if v := (Countdown{Correct: 2}).Score(t.Context(), s); v.Status != Correct || v.Value != 2 {
			t.Errorf("%q: %+v, want Correct with 2", text, v)
		}
	}
}

func TestCountdownComparesExactly(t *testing.T) {
	// 10^12/(10^12+1) differs from 1 by less than TinyZero's tolerance of 1e-5.
	p := CountdownProblem{Numbers: []int{1000000000000, 1000000000001}, Target: 1}
	if status, err := p.Check("1000000000000/1000000000001"); status != Wrong {
		t.Errorf("%v (%v), want wrong", status, err)
	}
	// 49·(1/49) is 0.9999999999999999 in floating point.
	p = CountdownProblem{Numbers: []int{1, 49, 49}, Target: 1}
	if status, err := p.Check("49*(1/49)"); status != Correct {
		t.Errorf("%v (%v), want correct", status, err)
	}
}

func TestCountdownReportsWrongTaskData(t *testing.T) {
	for want, answer := range map[string]any{
		"is <nil>":                     nil,
		"is int,":                      32,
		"is *reward.CountdownProblem,": &CountdownProblem{},
		"numbers []":                   CountdownProblem{},
		"numbers [1 -2]":               CountdownProblem{Numbers: []int{1, -2}},
	} {
		v := TinyZeroCountdown().Score(t.Context(), Sample{Completion: "<answer>1</answer>", Answer: answer})
		if v.Status != Error || v.Value != 0 || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error that says %q", v, want)
		}
	}
}
