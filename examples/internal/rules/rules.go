// Package rules names the rewards that a command can be asked for, with what their gold
// answers look like in JSON: the examples grade and grpo share it.
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

// Rule is a reward.
type Rule struct {
	Name  string
	Score reward.Scorer
	// Gold reads the gold answer of a line, nil if the line has none; a nil Gold takes
	// no notice of it.
	Gold     func(raw json.RawMessage) (any, error)
	Optional bool // a line may be without the gold answer that Gold reads
	// Extract returns the passage of a completion that is compared; nil means none is.
	Extract func(completion string) (answer string, ok bool)
	// Restate says an extracted answer again, as a gold answer and as a short completion,
	// so that the reward compares two of them; nil means that answers are right or wrong
	// without being compared.
	Restate func(answer string) (gold any, completion string, ok bool)
	// Lines is the number of lines that a core takes at once; 0 means many.
	Lines int
}

// Options are those of some rules.
type Options struct {
	Timeout    time.Duration // of one answer
	AcceptLess bool          // of code, see code.Verifier
}

// All are the rules.
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

// Names are those of All.
func Names() (names []string) {
	for _, r := range All(Options{}) {
		names = append(names, r.Name)
	}
	return names
}

// Find returns the rule of a name.
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

// text reads a string or a number.
func text(raw json.RawMessage) (any, error) {
	if raw == nil {
		return nil, errNoGold
	}
	if s, ok := Word(raw); ok {
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
		s, ok := Word(raw)
		if !ok {
			return nil, fmt.Errorf(`"gold"[%d] is no string and no number`, i)
		}
		golds[i] = s
	}
	return golds, nil
}

// Word reads a string, or a number as it is written.
func Word(raw json.RawMessage) (s string, ok bool) {
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
