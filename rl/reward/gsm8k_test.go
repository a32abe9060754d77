package reward

import (
	"strings"
	"testing"
)

func TestGSM8KReadsTheNumberAfterTheMark(t *testing.T) {
	for _, c := range []struct {
		gold, completion string
		want             Status
	}{
		{"18", "#### 18", Correct},
		{"She makes 9 * 2 = $18.\n#### 18", "so 18\n#### 18", Correct},
		{"2,125", "#### 2125", Correct},
		{"2125", "#### $2,125", Correct},
		{"18", "#### 18.", Correct},
		{"18", "#### 18.00", Correct},
		{"18", "####18 dollars", Correct},
		{"18", "#### \\$18", Correct},
		{"18", "#### **18**", Correct},
		{"-3", "#### -3", Correct},
		{"-3", "#### -$3", Correct},
		{"3", "#### -3", Wrong},
		{"18", "#### 19", Wrong},
		{"18", "#### 1.8", Wrong},
		{"18", "#### 19 #### 18", Correct},
		{"18", "#### 18 #### 19", Wrong},
		{"18", "18", Unparseable},
		{"18", "#### eighteen", Unparseable},
		{"18", "#### It is 18", Unparseable},
		{"18", "<think>#### 18</think>", Unparseable},
		{"18", "#### ", Unparseable},
		{"18", "#### " + strings.Repeat("9", 2000), Unparseable},
		{"18", "#### 18/2", Unparseable},
		{"18", "#### 18 - 3 = 15", Unparseable},
		{"18", "#### 18e3", Unparseable},
		{"18", "#### 18 million", Unparseable},
		{"18", "#### 18 or 19", Unparseable},
		{"18", "#### 18, 19", Unparseable},
		{"18", "#### 18:30", Unparseable},
		{"5", "#### 5 1/2", Unparseable},
		{"18", "<think>so\n#### 18", Unparseable},
		{"18", "#### 18 eggs\n3 times", Correct},
		{"1/2", "#### 1", NotApplicable},
		{"", "#### 18", NotApplicable},
		{"eighteen", "#### 18", NotApplicable},
	} {
		v := GSM8K{}.Score(t.Context(), Sample{Completion: c.completion, Answer: c.gold})
		if v.Status != c.want || (v.Value == 1) != (c.want == Correct) || (v.Err == nil) != (c.want == Correct) {
			t.Errorf("%.40q for %q: %+v, want %v", c.completion, c.gold, v, c.want)
		}
	}
	if v := (GSM8K{}).Score(t.Context(), Sample{Completion: "#### 18", Answer: 18}); v.Status != Error {
		t.Errorf("an int as answer: %+v", v)
	}
}

func TestFlexibleGSM8KTakesTheLastNumber(t *testing.T) {
	for completion, want := range map[string]Status{
		"She has 3 and then 18 eggs.": Correct, "18 eggs for $2": Wrong, "18 #### 2": Wrong, "none": Unparseable,
	} {
		if v := (GSM8K{Flexible: true}).Score(t.Context(), Sample{Completion: completion, Answer: "18"}); v.Status != want {
			t.Errorf("%q: %+v, want %v", completion, v, want)
		}
	}
}

func TestGSM8KKnowsItsAnswers(t *testing.T) {
	for _, answer := range gsm8kGolds(t) {
		next := nextNumber(t, answer)
		for _, r := range []GSM8K{{}, {Flexible: true}} {
			if v := r.Score(t.Context(), Sample{Completion: "so\n#### " + answer, Answer: answer}); v.Status != Correct {
				t.Errorf("%s: %+v", answer, v)
			}
			if v := r.Score(t.Context(), Sample{Completion: "so\n#### " + next, Answer: answer}); v.Status != Wrong {
				t.Errorf("%s for %s: %+v", next, answer, v)
			}
		}
	}
}

func FuzzGSM8K(f *testing.F) {
	for _, s := range []string{"#### 18", "#### -$1,800.50.", "#### 18/2", "<think>#### 1</think>2", "####\u00a0٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, g := range []GSM8K{{}, {Flexible: true}} {
			answer, ok := g.Extract(s)
			v := g.Score(t.Context(), Sample{Completion: s, Answer: answer})
			if ok && v.Status != Correct || !ok && v.Status != NotApplicable {
				t.Errorf("%q: extracted %q, %t: %+v", s, answer, ok, v)
			}
		}
	})
}
