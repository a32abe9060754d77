package policy_test

import (
	"context"
	"fmt"
	"regexp"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/policy"
)

func ExamplePolicy() {
	p := policy.Policy{
		Part:  policy.Thinking,
		Split: policy.Tags("step"),
		Rules: []policy.Rule{
			{Name: "no guess", Pattern: regexp.MustCompile(`(?i)\bguess`)},
			{Name: "verify", Kind: policy.Required, Pattern: regexp.MustCompile(`^Verify:`)},
		},
	}
	suite := &reward.Suite{Funcs: []reward.Func{{Name: "policy", Weight: 0.5, Score: p.Score}}}
	scores, err := suite.Score(context.Background(), []reward.Sample{
		{Completion: "<think><step>17+25=42</step><step>Verify: 42-25=17</step></think>42"},
		{Completion: "<think><step>My guess: 42</step></think>42"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, v := range scores.Verdicts[0] {
		fmt.Println(scores.Totals[i].Value, v.Status, v.Err)
	}
	// Output:
	// 0.5 correct <nil>
	// 0 wrong policy: step 1 ("My guess: 42") breaks rule "no guess": has "guess"; rule "verify" is broken: 0 steps match
}
