package policy

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/rl/reward"
)

func pattern(p string) *regexp.Regexp { return regexp.MustCompile(p) }

// careful is a policy with rules of each kind.
var careful = Policy{Part: Thinking, Rules: []Rule{
	{Name: "no guess", Pattern: pattern(`(?i)\bguess(es|ing)?\b`)},
	{Name: "short", Kind: Every, Match: func(s Step) (string, bool) { return "", len(s.Text) <= 40 }},
	{Name: "plan", Kind: Required, Pattern: pattern(`^Plan:`)},
	{Name: "checks", Kind: Required, Pattern: pattern(`^Check:`), After: "plan", Least: 2},
	{Name: "nothing after the end", Pattern: pattern(`.`), After: "end"},
	{Name: "end", Kind: Required, Pattern: pattern(`^Done\.$`)},
}}

func TestAVerdictNamesStepAndRule(t *testing.T) {
	for _, c := range []struct {
		name, completion string
		want             []Breach
	}{
		{"all kept", "<think>Plan: add\n\n2+2=4\nCheck: 4-2=2\n Check: 2*2=4\nDone.\n</think>Guess what: 4", nil},
		{"a guess, twice", "<think>Plan: I guess\nCheck:\nguessing\nCheck:\nDone.</think>",
			[]Breach{{Rule: "no guess", Step: Step{1, "Plan: I guess"}, Found: "guess", Steps: 2}}},
		{"too long", "<think>Plan:\nCheck:\nCheck:\n" + strings.Repeat("x", 41) + "\nDone.</think>",
			[]Breach{{Rule: "short", Kind: Every, Step: Step{4, strings.Repeat("x", 41)}, Steps: 1}}},
		{"a check too few", "<think>Check:\nPlan:\nCheck:\nDone.</think>",
			[]Breach{{Rule: "checks", Kind: Required, Steps: 1}}},
		{"no plan, so no checks after it", "<think>Check:\nCheck:\nDone.</think>",
			[]Breach{{Rule: "plan", Kind: Required}, {Rule: "checks", Kind: Required}}},
		{"goes on", "<think>Plan:\nCheck:\nCheck:\nDone.\nOr not?</think>",
			[]Breach{{Rule: "nothing after the end", Step: Step{5, "Or not?"}, Found: "O", Steps: 1}}},
		{"no end", "<think>Plan:\nCheck:\nCheck:</think>", []Breach{{Rule: "end", Kind: Required}}},
	} {
		v := careful.Score(t.Context(), reward.Sample{Completion: c.completion})
		var got *BreachError
		switch {
		case c.want == nil:
			if v != (reward.Verdict{Value: 1, Status: reward.Correct}) {
				t.Errorf("%s: %+v", c.name, v)
			}
		case v.Status != reward.Wrong || v.Value != 0 || !errors.As(v.Err, &got) || !slices.Equal(got.Breaches, c.want):
			t.Errorf("%s: %+v, want %+v", c.name, v, c.want)
		default:
			for _, b := range c.want {
				if !strings.Contains(v.Err.Error(), b.Rule) ||
					!strings.Contains(v.Err.Error(), quote(b.Step.Text)) && b.Step.Number > 0 {
					t.Errorf("%s: %v does not name %+v", c.name, v.Err, b)
				}
			}
		}
		partial := careful
		partial.Partial = true
		want := float64(len(careful.Rules)-len(c.want)) / float64(len(careful.Rules))
		if v := partial.Score(t.Context(), reward.Sample{Completion: c.completion}); v.Value != want {
			t.Errorf("%s: share %v, want %v", c.name, v.Value, want)
		}
	}
}

func TestStepsAndParts(t *testing.T) {
	for _, c := range []struct {
		name       string
		part       Part
		split      func(string) ([]Step, error)
		completion string
		want       []string // nil if there is an error
		says       string
	}{
		{"lines", All, nil, " a \n\n\tb\r\n", []string{"a", "b"}, ""},
		{"paragraphs", All, Paragraphs, "a\nb\n \nc\n\n\n\nd", []string{"a\nb", "c", "d"}, ""},
		{"tags", All, Tags("step"), "<step>a\nb</step>\n<step> c</step> ", []string{"a\nb", "c"}, ""},
		{"thinking", Thinking, nil, "x<think>a\nb</think>y", []string{"a", "b"}, ""},
		{"thinking to the last end", Thinking, nil, "<think>a</think>b</think>y", []string{"a</think>b"}, ""},
		{"answer", Answer, nil, "<think>a</think>y\nz", []string{"y", "z"}, ""},
		{"no thinking", Thinking, nil, "a", nil, "no </think>"},
		{"no begin of thinking", Thinking, nil, "a</think>", nil, "no <think>"},
		{"no answer", Answer, nil, "<think>a", nil, "no </think>"},
		{"nothing", All, nil, " \n", nil, "no steps"},
		{"empty tags", All, Tags("step"), "<step></step>", nil, "no steps"},
		{"outside of tags", All, Tags("step"), "<step>a</step>sly<step>b</step>", nil, `"sly" is outside`},
		{"after the tags", All, Tags("step"), "<step>a</step>sly", nil, `"sly" is outside`},
		{"not closed", All, Tags("step"), "<step>a</step><step>b", nil, "<step> 2 has no </step>"},
		{"nested", All, Tags("step"), "<step>a<step>b</step></step>", nil, "<step> 1 has another inside"},
	} {
		var got []string
		p := Policy{
			Part:  c.part,
			Split: c.split,
			Rules: []Rule{{Name: "see", Kind: Every, Match: func(s Step) (string, bool) {
				got = append(got, s.Text)
				return "", s.Number == len(got)
			}}},
		}
		v := p.Score(t.Context(), reward.Sample{Completion: c.completion})
		if c.want != nil && (v.Status != reward.Correct || !slices.Equal(got, c.want)) {
			t.Errorf("%s: %+v, steps %q, want %q", c.name, v, got, c.want)
		}
		if c.want == nil && (v.Status != reward.Unparseable || !strings.Contains(v.Err.Error(), c.says)) {
			t.Errorf("%s: %+v, want Unparseable and %q", c.name, v, c.says)
		}
	}
}

func TestIllFormedPoliciesAreErrors(t *testing.T) {
	x := pattern("x")
	for want, p := range map[string]Policy{
		"Rules is empty":            {},
		"Part is 9":                 {Part: 9, Rules: []Rule{{Name: "a", Pattern: x}}},
		"Rules[1] has no name":      {Rules: []Rule{{Name: "a", Pattern: x}, {Pattern: x}}},
		`two rules are named "a"`:   {Rules: []Rule{{Name: "a", Pattern: x}, {Name: "a", Pattern: x}}},
		"exactly one of":            {Rules: []Rule{{Name: "a"}}},
		"kind Kind(7)":              {Rules: []Rule{{Name: "a", Pattern: x, Kind: 7}}},
		"forbidden and has Least 2": {Rules: []Rule{{Name: "a", Pattern: x, Least: 2}}},
		`after "b", want the name`:  {Rules: []Rule{{Name: "a", Pattern: x, After: "b"}}},
		`after "a", want the name`:  {Rules: []Rule{{Name: "a", Pattern: x, After: "a"}}},
	} {
		v := p.Score(t.Context(), reward.Sample{Completion: "x"})
		if v.Status != reward.Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error with %q", v, want)
		}
	}
}

func FuzzTags(f *testing.F) {
	f.Add("<s>a</s> <s>b</s>")
	f.Add("<s><s></s>")
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := Tags("s")(text)
		if err != nil {
			return
		}
		// Without tags and white space, the steps are the text.
		var joined strings.Builder
		for _, s := range steps {
			joined.WriteString(s.Text)
		}
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		want := strings.NewReplacer("</s>", " ", "<s>", " ").Replace(text)
		if !strings.Contains(joined.String(), "</s>") && squeeze(joined.String()) != squeeze(want) {
			t.Errorf("%q has steps %+v", text, steps)
		}
	})
}
