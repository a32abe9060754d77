// Package rules lists the rewards that users of the examples grade and grpo choose by name,
// and decodes their gold answers from JSON.
package rules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/code"
	"github.com/aha-go/aha/rl/reward/physics"
)

// Rule is a reward with its name and the type of its gold answers.
type Rule struct {
	Name  string
	Score reward.Scorer
	// Gold decodes the gold answer of a line; raw is nil if the line has none. If Gold is
	// nil, the reward uses no gold answer.
	Gold     func(raw json.RawMessage) (any, error)
	Optional bool // a line may lack the gold answer
	// Extract returns the passage of a completion that is compared with the gold answer. If
	// nil, no passage is.
	Extract func(completion string) (answer string, ok bool)
	// Restate returns an extracted answer as a gold answer and as a short completion, so
	// that Score can compare two answers. If nil, answers cannot be compared.
	Restate func(answer string) (gold any, completion string, ok bool)
	// Lines is the maximum number of lines that a worker takes at once; 0 means that the
	// caller decides.
	Lines int
}

// Options are options of some rules.
type Options struct {
	Timeout    time.Duration // time limit for one answer
	AcceptLess bool          // see code.Verifier
}

// All returns all rules.
func All(o Options) []Rule {
	verifier := &code.Verifier{Total: o.Timeout * 9 / 10, AcceptLess: o.AcceptLess}
	return []Rule{
		{Name: "math", Score: reward.Math{}.Score, Gold: texts, Extract: reward.Math{}.Extract, Restate: boxed},
		{Name: "gsm8k", Score: reward.GSM8K{}.Score, Gold: text, Extract: reward.GSM8K{}.Extract, Restate: afterHashes},
		{Name: "choice", Score: reward.Choice{}.Score, Gold: text, Extract: reward.Choice{}.Extract, Restate: boxed},
		{Name: "countdown", Score: reward.Countdown{}.Score, Gold: countdown,
			Extract: reward.LastAnswer, Restate: solution},
		{Name: "tinyzero", Score: reward.TinyZeroCountdown().Score, Gold: countdown,
			Extract: reward.LastAnswer, Restate: solution},
		{Name: "digits", Score: reward.DigitShare, Gold: object[reward.Digits]},
		{Name: "physics", Score: physics.ScoreQuantity, Gold: quantity, Extract: physics.ExtractQuantity,
			Restate: boxedQuantity},
		{Name: "code", Score: verifier.Score, Gold: object[code.Problem], Lines: 1},
		{Name: "language", Score: language, Gold: scripts, Optional: true},
		{Name: "format", Score: reward.ThinkAnswerFormat},
		{Name: "format_lines", Score: reward.LineFormat},
		{Name: "format_think", Score: reward.ThinkFormat},
		{Name: "format_tags", Score: reward.TagCount},
		{Name: "repetition", Score: reward.Repetition{}.Score},
	}
}

// Names returns the names of all rules.
func Names() (names []string) {
	for _, r := range All(Options{}) {
		names = append(names, r.Name)
	}
	return names
}

// Find returns the rule with a name.
func Find(name string, o Options) (r Rule, ok bool) {
	for _, r := range All(o) {
		if r.Name == name {
			return r, true
		}
	}
	return r, false
}

// errNoGold is the error of a line without the gold answer that the reward needs.
var errNoGold = errors.New(`there is no "gold"`)

// text decodes a string or a number.
func text(raw json.RawMessage) (any, error) {
	if raw == nil {
		return nil, errNoGold
	}
	if s, ok := Word(raw); ok {
		return s, nil
	}
	return nil, errors.New(`"gold" is not a string or a number`)
}

// texts decodes a string, a number or an array of these.
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
		s, ok := Word(raw)
		if !ok {
			return nil, fmt.Errorf(`"gold"[%d] is not a string or a number`, i)
		}
		golds[i] = s
	}
	return golds, nil
}

// Word decodes a string, or returns a number as it is written.
func Word(raw json.RawMessage) (s string, ok bool) {
	switch c := raw[0]; {
	case c == '"':
		return s, json.Unmarshal(raw, &s) == nil
	case c == '-' || c >= '0' && c <= '9':
		return string(raw), true
	}
	return "", false
}

// object decodes a problem of type T. Unknown fields are errors.
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

// countdown decodes a Countdown problem. The target must be given, since 0 is a valid one.
func countdown(raw json.RawMessage) (any, error) {
	gold, err := object[reward.CountdownProblem](raw)
	var given struct{ Target *int }
	if err == nil && json.Unmarshal(raw, &given) == nil && given.Target == nil {
		err = errors.New(`"gold" has no "target"`)
	}
	return gold, err
}

// quantity decodes a physics problem: an object, or only the wanted quantity.
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

// scripts decodes the names of Unicode scripts; there may be none.
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

// language scores a sample by reward.Language, with the scripts of s.Answer.
func language(ctx context.Context, s reward.Sample) reward.Verdict {
	return reward.Language{Scripts: s.Answer.([]string)}.Score(ctx, s)
}

func boxed(answer string) (any, string, bool) { return answer, `\boxed{` + answer + "}", true }

func boxedQuantity(answer string) (any, string, bool) {
	return physics.QuantityProblem{Want: answer}, `\boxed{` + answer + "}", true
}

func afterHashes(answer string) (any, string, bool) { return answer, "#### " + answer, true }

// solution restates an expression. The gold answer is the problem that the expression
// solves, since reward.Countdown compares the numbers used and the value.
func solution(answer string) (any, string, bool) {
	value, numbers, err := reward.EvalExpression(answer)
	if err != nil {
		return nil, "", false
	}
	target, err := strconv.Atoi(value.RatString())
	return reward.CountdownProblem{Numbers: numbers, Target: target}, "<answer>" + answer + "</answer>", err == nil
}
