package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/code"
	"github.com/aha-go/aha/rl/reward/physics"
)

// rule is a reward as the command uses it.
type rule struct {
	name  string
	score reward.Scorer
	// gold reads the gold answer of a line, nil if the line has none; a nil gold takes
	// no notice of it.
	gold func(raw json.RawMessage) (any, error)
	// extract returns the passage of a completion that is compared; nil means none is.
	extract func(completion string) (answer string, ok bool)
	// restate says an extracted answer again, as a gold answer and as a short completion,
	// so that the reward compares two of them; nil means that answers are right or wrong
	// without being compared.
	restate func(answer string) (gold any, completion string, ok bool)
	// lines is the number of lines that a core takes at once; 0 means many.
	lines int
}

// rules are the values of -reward.
func rules(o options) []rule {
	verifier := &code.Verifier{Total: o.Timeout * 9 / 10, AcceptLess: o.AcceptLess}
	return []rule{
		{name: "math", score: reward.Math{}.Score, gold: texts, extract: reward.Math{}.Extract, restate: boxed},
		{name: "gsm8k", score: reward.GSM8K{}.Score, gold: text, extract: reward.GSM8K{}.Extract, restate: afterHashes},
		{name: "choice", score: reward.Choice{}.Score, gold: text, extract: reward.Choice{}.Extract, restate: boxed},
		{name: "countdown", score: reward.Countdown{}.Score, gold: countdown,
			extract: reward.LastAnswer, restate: solution},
		{name: "digits", score: reward.DigitShare, gold: object[reward.Digits]},
		{name: "physics", score: physics.ScoreQuantity, gold: quantity, extract: physics.ExtractQuantity,
			restate: boxedQuantity},
		{name: "code", score: verifier.Score, gold: object[code.Problem], lines: 1},
		{name: "language", score: language, gold: scripts},
		{name: "format", score: reward.ThinkAnswerFormat},
		{name: "format_lines", score: reward.LineFormat},
		{name: "format_think", score: reward.ThinkFormat},
		{name: "format_tags", score: reward.TagCount},
		{name: "repetition", score: reward.Repetition{}.Score},
	}
}

func ruleNames() (names []string) {
	for _, r := range rules(options{}) {
		names = append(names, r.name)
	}
	return names
}

// findRule returns the rule that -reward names.
func findRule(o options) (rule, error) {
	for _, r := range rules(o) {
		if r.name == o.Reward {
			return r, nil
		}
	}
	return rule{}, fmt.Errorf("-reward %q, want one of %s", o.Reward, strings.Join(ruleNames(), ", "))
}

// errNoGold is the error of a line without the gold answer that the reward needs.
var errNoGold = errors.New(`there is no "gold"`)

// text reads a string or a number.
func text(raw json.RawMessage) (any, error) {
	if raw == nil {
		return nil, errNoGold
	}
	if s, ok := word(raw); ok {
		return s, nil
	}
	return nil, errors.New(`"gold" is no string and no number`)
}

// texts reads a string, a number or an array of those.
func texts(raw json.RawMessage) (any, error) {
	if raw == nil || raw[0] != '[' {
		return text(raw)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	golds := make([]string, len(all))
	for i, raw := range all {
		s, ok := word(raw)
		if !ok {
			return nil, fmt.Errorf(`"gold"[%d] is no string and no number`, i)
		}
		golds[i] = s
	}
	return golds, nil
}

// word reads a string, or a number as it is written.
func word(raw json.RawMessage) (s string, ok bool) {
	switch c := raw[0]; {
	case c == '"':
		return s, json.Unmarshal(raw, &s) == nil
	case c == '-' || c >= '0' && c <= '9':
		return string(raw), true
	}
	return "", false
}

// object reads the problem that a reward expects.
func object[T any](raw json.RawMessage) (any, error) {
	if raw == nil {
		return nil, errNoGold
	}
	var problem T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&problem); err != nil {
		return nil, fmt.Errorf(`"gold": %w`, err)
	}
	return problem, nil
}

// countdown reads a problem, which must have its target: 0 is one too.
func countdown(raw json.RawMessage) (any, error) {
	gold, err := object[reward.CountdownProblem](raw)
	var given struct{ Target *int }
	if err == nil && json.Unmarshal(raw, &given) == nil && given.Target == nil {
		err = errors.New(`"gold" has no "target"`)
	}
	return gold, err
}

// quantity reads the problem of a quantity, or what it wants alone.
func quantity(raw json.RawMessage) (any, error) {
	if raw != nil && raw[0] == '{' {
		return object[physics.QuantityProblem](raw)
	}
	want, err := text(raw)
	if err != nil {
		return nil, err
	}
	return physics.QuantityProblem{Want: want.(string)}, nil
}

// scripts reads the names of scripts, of which there may be none.
func scripts(raw json.RawMessage) (any, error) {
	if raw == nil {
		return []string(nil), nil
	}
	gold, err := texts(raw)
	if name, ok := gold.(string); ok {
		return []string{name}, err
	}
	return gold, err
}

// language is reward.Language with the scripts of the sample's answer.
func language(ctx context.Context, s reward.Sample) reward.Verdict {
	return reward.Language{Scripts: s.Answer.([]string)}.Score(ctx, s)
}

func boxed(answer string) (any, string, bool) { return answer, `\boxed{` + answer + "}", true }

func boxedQuantity(answer string) (any, string, bool) {
	return physics.QuantityProblem{Want: answer}, `\boxed{` + answer + "}", true
}

func afterHashes(answer string) (any, string, bool) { return answer, "#### " + answer, true }

// solution takes an expression as one of the problem that it solves, since
// reward.Countdown compares numbers and value.
func solution(answer string) (any, string, bool) {
	value, numbers, err := reward.EvalExpression(answer)
	if err != nil {
		return nil, "", false
	}
	target, err := strconv.Atoi(value.RatString())
	return reward.CountdownProblem{Numbers: numbers, Target: target}, "<answer>" + answer + "</answer>", err == nil
}
