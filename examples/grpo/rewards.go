package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aha-go/aha/examples/internal/keys"
	"github.com/aha-go/aha/examples/internal/rules"
	"github.com/aha-go/aha/rl/reward"
)

// rewards maps names of reward functions to their weights. A function of weight 0 is only
// measured.
type rewards map[string]float64

// UnmarshalJSON decodes an object of weights, which replaces r.
func (r *rewards) UnmarshalJSON(text []byte) error {
	var m map[string]float64
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	*r = m
	return nil
}

// UnmarshalText parses a list such as math,format=0.5, which replaces r.
func (r *rewards) UnmarshalText(text []byte) error {
	m := rewards{}
	for part := range strings.SplitSeq(string(text), ",") {
		name, weight, given := strings.Cut(strings.TrimSpace(part), "=")
		w := 1.0
		if given {
			var err error
			if w, err = strconv.ParseFloat(weight, 64); err != nil {
				return fmt.Errorf("the weight of %s is %q, want a number", name, weight)
			}
		}
		if _, twice := m[name]; twice {
			return fmt.Errorf("%s is given twice", name)
		}
		m[name] = w
	}
	*r = m
	return nil
}

// String returns r in the form that UnmarshalText parses.
func (r rewards) String() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if r[name] == 1 {
			list = append(list, name)
		} else {
			list = append(list, fmt.Sprintf("%s=%g", name, r[name]))
		}
	}
	return strings.Join(list, ",")
}

// Rewards that package rules does not have.
const (
	overlong     = "overlong"      // DAPO's soft overlong punishment, over the last fifth of max_completion_length
	cosine       = "cosine"        // correctness, scaled by length with a cosine
	groupLength  = "length"        // Kimi k1.5's length reward, which depends on correctness
	formatSpaced = "format_spaced" // format, with white space around <think>…</think> and <answer>…</answer>
)

// rewardNames returns the names of all rewards in the order in which they are called.
func rewardNames() []string {
	return append(rules.Names(), formatSpaced, overlong, cosine, groupLength)
}

func (r rewards) check() error {
	total := false
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if known := rewardNames(); !slices.Contains(known, name) {
			return fmt.Errorf("rewards: unknown reward %q%s", name, keys.Suggest(name, known))
		}
		if w := r[name]; math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("rewards: the weight of %s is %g", name, w)
		}
		total = total || r[name] != 0
	}
	if !total {
		return errors.New("rewards: all weights are 0")
	}
	for _, name := range []string{cosine, groupLength} {
		if _, asked := r[name]; asked && r.correct() == nil {
			return fmt.Errorf("rewards: %s needs a reward of correctness, such as math", name)
		}
	}
	return nil
}

// correct returns the first reward that judges correctness, or nil if there is none.
func (r rewards) correct() *rules.Rule {
	for _, rule := range rules.All(rewardTimeouts) {
		if _, asked := r[rule.Name]; asked && rule.Gold != nil && !rule.Optional {
			return &rule
		}
	}
	return nil
}

var rewardTimeouts = rules.Options{Timeout: 10 * time.Second}

// golds decodes the gold answer of a line for each reward that needs one. The keys of the
// result are the names of the rewards.
func (r rewards) golds(raw json.RawMessage) (map[string]any, error) {
	golds := map[string]any{}
	for _, rule := range rules.All(rewardTimeouts) {
		if _, asked := r[rule.Name]; !asked || rule.Gold == nil {
			continue
		}
		its := raw
		if rule.Optional { // the gold answer is meant for another reward
			its = nil
		}
		gold, err := rule.Gold(its)
		if err != nil {
			return nil, fmt.Errorf(`"answer", as the "gold" of reward %s: %w`, rule.Name, err)
		}
		golds[rule.Name] = gold
	}
	return golds, nil
}

// suite returns the functions of all rewards in the order of rewardNames. They expect the result of
// golds in Sample.Answer.
func (c *config) suite() *reward.Suite {
	s := &reward.Suite{Timeout: rewardTimeouts.Timeout}
	add := func(name string, f reward.Func) {
		if w, asked := c.Rewards[name]; asked {
			f.Name, f.Weight, f.MetricOnly = name, w, w == 0
			s.Funcs = append(s.Funcs, f)
		}
	}
	for _, rule := range rules.All(rewardTimeouts) {
		add(rule.Name, reward.Func{Score: ofGold(rule)})
	}
	var correct reward.Scorer
	if rule := c.Rewards.correct(); rule != nil {
		correct = ofGold(*rule)
	}
	add(formatSpaced, reward.Func{Score: scoreSpaced})
	add(overlong, reward.Func{Score: reward.SoftOverlong{MaxTokens: c.MaxTokens, Cache: max(c.MaxTokens/5, 1)}.Score})
	add(cosine, reward.Func{Score: reward.Cosine{Correct: correct, MaxTokens: c.MaxTokens}.Score})
	add(groupLength, reward.Func{ScoreAll: reward.GroupLength{Correct: correct}.ScoreAll})
	return s
}

// ofGold returns the scorer of a rule, which takes its gold answer from the result of golds.
func ofGold(rule rules.Rule) reward.Scorer {
	if rule.Gold == nil {
		return rule.Score
	}
	return func(ctx context.Context, s reward.Sample) reward.Verdict {
		s.Answer = s.Answer.(map[string]any)[rule.Name]
		return rule.Score(ctx, s)
	}
}

// between matches the white space between the two parts of a completion.
var between = regexp.MustCompile(`</think>\s+<answer>`)

// scoreSpaced applies reward.ThinkAnswerFormat to a completion without the white space around its
// parts: the template of DeepSeek-R1-Zero has a space between them, and a model begins with a space
// after "Assistant:".
func scoreSpaced(ctx context.Context, s reward.Sample) reward.Verdict {
	s.Completion = between.ReplaceAllString(strings.TrimSpace(s.Completion), "</think><answer>")
	return reward.ThinkAnswerFormat(ctx, s)
}
