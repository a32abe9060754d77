package policy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// Kind is the kind of a rule.
type Kind uint8

const (
	// Forbidden means that no step may match.
	Forbidden Kind = iota
	// Required means that at least one step must match.
	Required
	// Every means that all steps must match.
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

// Rule is one rule. Exactly one of Pattern and Match must be set.
type Rule struct {
	Name string
	Kind Kind
	// Pattern matches a step if it is found in it.
	Pattern *regexp.Regexp
	// Match reports whether a step matches, and returns the matching text for the verdict. It
	// may be called from several goroutines at once.
	Match func(s Step) (found string, ok bool)
	// After is the name of another rule. If set, this rule applies only to the steps after the
	// first step that matches the other rule. If there is no such step, a Required rule is
	// broken, and rules of other kinds are kept.
	After string
	// Least is the number of steps that must match a Required rule; 0 means 1.
	Least int
}

// Policy is a set of rules. Its method Score is a reward function.
type Policy struct {
	Rules []Rule // at least one, with distinct names
	// Part is the part of a completion to which the rules apply.
	Part Part
	// Split splits that part into steps; nil means Lines. If it returns an error, the sample is
	// Unparseable.
	Split func(text string) ([]Step, error)
	// Partial makes the value the share of rules that are kept, instead of 1 or 0.
	Partial bool
}

// Breach is a broken rule.
type Breach struct {
	Rule string
	Kind Kind
	// Step is the first step that breaks the rule; its Number is 0 for a Required rule.
	Step Step
	// Found is the text that matches a Forbidden rule.
	Found string
	// Steps is the number of steps that break the rule. For a Required rule it is the number
	// of steps that match.
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

// quote quotes at most the first 60 characters of text.
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

// BreachError lists all rules that a completion breaks, in the order of the rules.
type BreachError struct{ Breaches []Breach }

func (e *BreachError) Error() string {
	texts := make([]string, len(e.Breaches))
	for i, b := range e.Breaches {
		texts[i] = b.String()
	}
	return "policy: " + strings.Join(texts, "; ")
}

// Score scores one sample: Correct with 1 if it keeps all rules; Wrong with a BreachError if
// it does not; Unparseable with 0 if the completion lacks the Part or has no steps in it;
// Error if the policy is invalid. Sample.Answer is not used.
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

// after returns the steps after the first step that matches the named rule.
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

// Validate reports what is wrong with a policy.
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
