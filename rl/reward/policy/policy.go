package policy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// Kind says what a rule demands of the steps that match it.
type Kind uint8

const (
	// Forbidden: no step may match.
	Forbidden Kind = iota
	// Required: a step must match.
	Required
	// Every: all steps must match.
	Every
)

var kindNames = [...]string{Forbidden: "forbidden", Required: "required", Every: "every"}

// String returns the name of the kind, such as "required".
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Rule is one rule. Exactly one of Pattern and Match is set.
type Rule struct {
	Name string
	Kind Kind
	// Pattern matches a step in which it is found.
	Pattern *regexp.Regexp
	// Match reports whether a step matches, and what of it, for the verdict. It may be
	// called from several goroutines at once.
	Match func(s Step) (found string, ok bool)
	// After is the name of another rule: this one looks only at the steps after the first
	// that matches that. Without such a step, Required is broken and the others are kept.
	After string
	// Least is the number of steps that must match a Required rule; 0 means 1.
	Least int
}

// Policy is a set of rules. Its method Score is a reward function.
type Policy struct {
	Rules []Rule // at least one, with distinct names
	// Part is what of a completion is looked at.
	Part Part
	// Split divides it into steps; nil means Lines. An error makes the sample Unparseable.
	Split func(text string) ([]Step, error)
	// Partial gives the share of rules that are kept; without it the value is 1 or 0.
	Partial bool
}

// Breach is a rule that is broken.
type Breach struct {
	Rule string
	Kind Kind
	// Step is the first that breaks it; its Number is 0 for a Required rule.
	Step Step
	// Found is what matches a Forbidden rule.
	Found string
	// Steps is the number of steps that break it or, of a Required rule, that match.
	Steps int
}

func (b Breach) String() string {
	switch b.Kind {
	case Forbidden:
		return fmt.Sprintf("step %d (%s) breaks rule %q: has %s", b.Step.Number, quote(b.Step.Text), b.Rule, quote(b.Found))
	case Every:
		return fmt.Sprintf("step %d (%s) breaks rule %q: does not match", b.Step.Number, quote(b.Step.Text), b.Rule)
	default:
		return fmt.Sprintf("rule %q is broken: %d steps match", b.Rule, b.Steps)
	}
}

// quote shows at most the first 60 characters.
func quote(text string) string {
	n := 0
	for i := range text {
		if n == 60 {
			return fmt.Sprintf("%q…", text[:i])
		}
		n++
	}
	return fmt.Sprintf("%q", text)
}

// BreachError is what is wrong with a reasoning: all rules that it breaks, in their order.
type BreachError struct{ Breaches []Breach }

func (e *BreachError) Error() string {
	texts := make([]string, len(e.Breaches))
	for i, b := range e.Breaches {
		texts[i] = b.String()
	}
	return "policy: " + strings.Join(texts, "; ")
}

// Score judges one sample: 1 and Correct if it keeps all rules; Wrong with a BreachError if it
// does not; 0 and Unparseable if the completion lacks the part, or has no steps in it; Error if
// the policy is ill-formed. It does not look at Sample.Answer.
func (p Policy) Score(_ context.Context, s reward.Sample) reward.Verdict {
	if err := p.Validate(); err != nil {
		return reward.Verdict{Status: reward.Error, Err: err}
	}
	steps, err := p.steps(s.Completion)
	if err != nil {
		return reward.Verdict{Status: reward.Unparseable, Err: fmt.Errorf("policy: %w", err)}
	}
	breaches := p.Check(steps)
	if len(breaches) == 0 {
		return reward.Verdict{Status: reward.Correct, Value: 1}
	}
	v := reward.Verdict{Status: reward.Wrong, Err: &BreachError{breaches}}
	if p.Partial {
		v.Value = float64(len(p.Rules)-len(breaches)) / float64(len(p.Rules))
	}
	return v
}

func (p Policy) steps(completion string) ([]Step, error) {
	text, err := p.Part.of(completion)
	if err != nil {
		return nil, err
	}
	split := p.Split
	if split == nil {
		split = Lines
	}
	steps, err := split(text)
	if err == nil && len(steps) == 0 {
		err = errors.New("no steps")
	}
	return steps, err
}

// Check returns the rules that steps break, in the order of the rules. The policy must be valid.
func (p Policy) Check(steps []Step) (breaches []Breach) {
	for _, r := range p.Rules {
		if b, broken := p.check(r, steps); broken {
			breaches = append(breaches, b)
		}
	}
	return breaches
}

func (p Policy) check(r Rule, steps []Step) (Breach, bool) {
	b := Breach{Rule: r.Name, Kind: r.Kind}
	if r.After != "" {
		steps = p.after(r.After, steps)
	}
	for _, s := range steps {
		found, ok := r.match(s)
		if counts := ok == (r.Kind != Every); !counts {
			continue
		}
		if b.Steps++; b.Steps == 1 && r.Kind != Required {
			b.Step, b.Found = s, found
		}
	}
	if r.Kind == Required {
		return b, b.Steps < max(r.Least, 1)
	}
	return b, b.Steps > 0
}

// after returns the steps after the first that matches the named rule.
func (p Policy) after(name string, steps []Step) []Step {
	for _, r := range p.Rules {
		if r.Name != name {
			continue
		}
		for i, s := range steps {
			if _, ok := r.match(s); ok {
				return steps[i+1:]
			}
		}
	}
	return nil
}

func (r Rule) match(s Step) (found string, ok bool) {
	if r.Match != nil {
		return r.Match(s)
	}
	at := r.Pattern.FindStringIndex(s.Text)
	if at == nil {
		return "", false
	}
	return s.Text[at[0]:at[1]], true
}

// Validate names what is wrong with a policy.
func (p Policy) Validate() error {
	if len(p.Rules) == 0 {
		return errors.New("policy: Policy.Rules is empty")
	}
	if p.Part > Answer {
		return fmt.Errorf("policy: Policy.Part is %d", p.Part)
	}
	names := map[string]bool{}
	for i, r := range p.Rules {
		switch {
		case r.Name == "":
			return fmt.Errorf("policy: Policy.Rules[%d] has no name", i)
		case names[r.Name]:
			return fmt.Errorf("policy: two rules are named %q", r.Name)
		case (r.Pattern == nil) == (r.Match == nil):
			return fmt.Errorf("policy: rule %q must set exactly one of Pattern and Match", r.Name)
		case r.Kind > Every:
			return fmt.Errorf("policy: rule %q has kind %v", r.Name, r.Kind)
		case r.Least < 0 || r.Least > 0 && r.Kind != Required:
			return fmt.Errorf("policy: rule %q is %v and has Least %d", r.Name, r.Kind, r.Least)
		}
		names[r.Name] = true
	}
	for _, r := range p.Rules {
		if r.After != "" && (r.After == r.Name || !names[r.After]) {
			return fmt.Errorf("policy: rule %q is after %q, want the name of another rule", r.Name, r.After)
		}
	}
	return nil
}
