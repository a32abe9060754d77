package reward

import (
	"strings"
	"testing"
)

func TestChoiceFindsTheLetterAmongReasons(t *testing.T) {
	for _, c := range []struct {
		completion, letter string // "" for none
	}{
		{"B", "B"},
		{"(B)", "B"},
		{"B.", "B"},
		{"B) Because the mass is doubled, A and C are out.", "B"},
		{"**B**", "B"},
		{`\boxed{B}`, "B"},
		{`\boxed{\text{B}}`, "B"},
		{`$\boxed{\textbf{(B)}}$`, "B"},
		{`\boxed{b}`, "B"},
		{`\boxed{A}, no: \boxed{C}`, "C"},
		{`\boxed{B) 42}`, "B"},
		{`\boxed{A, B}`, ""},
		{`\boxed{A \text{ or } B}`, ""},
		{`\boxed{42}`, ""},
		{"The answer is C.", "C"},
		{"The answer is (C) since A is a metal.", "C"},
		{"The correct answer is: **D**", "D"},
		{"Answer: E", "E"},
		{"**Answer:** F) 17 N", "F"},
		{"So option G is right.", "G"},
		{"Hence the correct choice is J because I is too small", "J"},
		{"A is wrong. B is wrong too. So the answer must be C", "C"},
		{"The answer is A because it is a noble gas.", "A"},
		{"The answer is a matter of taste.", ""},
		{"The answer is A dog.", ""},
		{"The answer is either A or B.", ""},
		{"The final answer is $\\text{H}$.", "H"},
		{"<think>It may be A.</think><answer>B</answer>", "B"},
		{"<think>The answer is A.</think>I cannot tell.", ""},
		{"<answer>The answer is (D).</answer>", "D"},
		{"<answer>A</answer> wait <answer>C</answer>", "C"},
		{"I think A, then B.\nC", "C"},
		{"Reasons, reasons.\n\n(D) 5 m/s", "D"},
		{"<think>The answer is A.", ""},
		{"The answer is not A but B.", "B"},
		{"The answer is B, not A.", "B"},
		{"The correct answer is neither A nor B, but C", "C"},
		{"The answer is not (A), (B) or (C), it is D", "D"},
		{"The answer isn't A.", ""},
		{"The answer cannot be B", ""},
		{"The answer is C.\nOption A is incorrect, for it is a metal.", "C"},
		{"A and B are wrong.", ""},
		{"A is clearly wrong. B is right.", ""},
		{"The answer that is not right is B", "B"},
		{`\boxed{Not A}`, ""},
		{`\boxed{A|B}`, ""},
		{`\boxed{A; B}`, ""},
		{`\boxed{A + B}`, ""},
		{"", ""},
		{"K", ""},
		{"The answer is K.", ""},
		{"ABC", ""},
		{"I do not know", ""},
		{"Vitamin C and Plan B are unrelated to what was asked", ""},
		{strings.Repeat("answer ", 100_000), ""},
		{strings.Repeat(`\boxed{`, 100_000), ""},
	} {
		for _, gold := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"} {
			want := Wrong
			if c.letter == "" {
				want = Unparseable
			} else if c.letter == gold {
				want = Correct
			}
			v := Choice{}.Score(t.Context(), Sample{Completion: c.completion, Answer: gold})
			if v.Status != want || (v.Value == 1) != (want == Correct) || (v.Err == nil) != (want == Correct) {
				t.Errorf("%.60q for %s: %+v, want %v", c.completion, gold, v, want)
			}
		}
	}
}

func TestChoiceReportsGoldAnswersThatAreNoLetters(t *testing.T) {
	for _, c := range []struct {
		choice Choice
		gold   any
		want   Status
	}{
		{Choice{}, "(b)", Correct},
		{Choice{}, " B. ", Correct},
		{Choice{}, "K", NotApplicable},
		{Choice{}, "", NotApplicable},
		{Choice{}, "AB", NotApplicable},
		{Choice{}, "7", NotApplicable},
		{Choice{Letters: 4}, "E", NotApplicable},
		{Choice{Letters: 4}, "B", Correct},
		{Choice{Letters: 1}, "A", Error},
		{Choice{Letters: 27}, "A", Error},
		{Choice{}, 'B', Error},
		{Choice{}, nil, Error},
	} {
		v := c.choice.Score(t.Context(), Sample{Completion: "The answer is B.", Answer: c.gold})
		if v.Status != c.want {
			t.Errorf("%+v with %#v: %+v, want %v", c.choice, c.gold, v, c.want)
		}
	}
}

func FuzzChoice(f *testing.F) {
	f.Add("The answer is (C) since A is a metal.", "C")
	f.Add(`\boxed{\text{B}}`, "B")
	f.Fuzz(func(t *testing.T, completion, gold string) {
		v := Choice{}.Score(t.Context(), Sample{Completion: completion, Answer: gold})
		if v.Status == Error || (v.Value == 1) != (v.Status == Correct) {
			t.Fatalf("%q for %q: %+v", completion, gold, v)
		}
	})
}
