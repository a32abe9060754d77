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

// rewards are the names of reward functions with their weights; weight 0 means that the
// function is measured and teaches nothing.
type rewards map[string]float64

// UnmarshalJSON reads an object of weights, in place of what was there.
func (r *rewards) UnmarshalJSON(text []byte) error {
	var m map[string]float64
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	*r = m
	return nil
}

// UnmarshalText reads a list such as math,format=0.5.
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
			return fmt.Errorf("%s is there twice", name)
		}
		m[name] = w
	}
	*r = m
	return nil
}

// String is the list that UnmarshalText reads.
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

// Rewards beside those of package rules: they look at the length of completions, or at blanks.
const (
	overlong     = "overlong"      // DAPO's soft overlong punishment, over the last fifth of max_completion_length
	cosine       = "cosine"        // of correctness, scaled by length
	groupLength  = "length"        // Kimi k1.5's reward of length, of correctness
	formatSpaced = "format_spaced" // format, with blanks around <think>…</think> and <answer>…</answer>
)

// rewardNames are all that there are, in the order in which they are called.
func rewardNames() []string {
	return append(rules.Names(), formatSpaced, overlong, cosine, groupLength)
}

func (r rewards) check() error {
	total := false
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if known := rewardNames(); !slices.Contains(known, name) {
			return fmt.Errorf("rewards: there is no %q%s", name, keys.Suggest(name, known))
		}
		if w := r[name]; math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("rewards: the weight of %s is %g", name, w)
		}
		total = total || r[name] != 0
	}
	if !total {
		return errors.New("rewards: there is none with a weight")
	}
	for _, name := range []string{cosine, groupLength} {
		if _, asked := r[name]; asked && r.correct() == nil {
			return fmt.Errorf("rewards: %s builds on a reward of correctness, such as math, which must be there too", name)
		}
	}
	return nil
}

// correct is the first of the rewards that compares answers; nil if there is none.
func (r rewards) correct() *rules.Rule {
	for _, rule := range rules.All(rewardTimeouts) {
		if _, asked := r[rule.Name]; asked && rule.Gold != nil && !rule.Optional {
			return &rule
		}
	}
	return nil
}

var rewardTimeouts = rules.Options{Timeout: 10 * time.Second}

// golds reads the gold answers of a line for all rewards that need one, by name.
func (r rewards) golds(raw json.RawMessage) (map[string]any, error) {
	golds := map[string]any{}
	for _, rule := range rules.All(rewardTimeouts) {
		if _, asked := r[rule.Name]; !asked || rule.Gold == nil {
			continue
		}
		its := raw
		if rule.Optional { // the answer is another's
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

// suite has the functions of all rewards, in the order of rewardNames. Sample.Answer is what golds
// returned.
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

// ofGold is the score of a rule by its own gold answer.
func ofGold(rule rules.Rule) reward.Scorer {
	if rule.Gold == nil {
		return rule.Score
	}
	return func(ctx context.Context, s reward.Sample) reward.Verdict {
		s.Answer = s.Answer.(map[string]any)[rule.Name]
		return rule.Score(ctx, s)
	}
}

// between are the blanks between the parts of a completion.
var between = regexp.MustCompile(`</think>\s+<answer>`)

// scoreSpaced is reward.ThinkAnswerFormat of a completion without the blanks around its parts:
// the template of DeepSeek-R1-Zero shows one, and a model goes on after "Assistant:" with one.
func scoreSpaced(ctx context.Context, s reward.Sample) reward.Verdict {
	s.Completion = between.ReplaceAllString(strings.TrimSpace(s.Completion), "</think><answer>")
	return reward.ThinkAnswerFormat(ctx, s)
}
