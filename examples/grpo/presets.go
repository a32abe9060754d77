package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aha-go/aha/examples/internal/keys"
	"github.com/aha-go/aha/rl"
)

// preset is a published run or the defaults of a library. source says where the values come
// from and what differs here.
type preset struct {
	name, source string
	set          func(c *config)
}

// presets lists the values of -preset. Batch sizes are in prompts; mini-batches are the updates
// per rollout.
var presets = []preset{
	{"r1-zero", "DeepSeek-R1-Zero, arXiv 2501.12948v2 and its supplement B: 8,192 outputs per rollout in 16 updates; " +
		"the reference model is updated every 400 updates, which are 25 rollouts; the source does not state ε",
		func(c *config) {
			c.Template, c.Rewards = "r1-zero", rewards{"math": 1, "format_spaced": 1}
			c.Prompts, c.Generations, c.MiniBatches, c.MaxTokens = 512, 16, 16, 32768
			c.LossType, c.Beta, c.RefSync = string(rl.LossGRPO), 0.001, 25
			c.LR, c.Steps = 3e-6, 650
		}},
	{"trl-default", "TRL 1.16, GRPOConfig: per_device_train_batch_size 8 is one prompt",
		func(c *config) {
			c.Template, c.Rewards = "chat", rewards{"math": 1}
			c.Prompts, c.Generations, c.MaxTokens = 1, 8, 512
			c.LR, c.Decay = 1e-6, "linear"
		}},
	{"dapo", "DAPO, arXiv 2503.14476, and verl's recipe: 512 prompts in 16 updates, dual-clip 10, dynamic sampling " +
		"of at most 10 batches; a batch has as many prompts as a step (in the source 3 times as many)",
		func(c *config) {
			c.Template, c.Rewards = "chat", rewards{"math": 2, "overlong": 1} // the source gives ±1 for correct and wrong
			c.Prompts, c.Generations, c.MiniBatches, c.MaxPrompt, c.MaxTokens = 512, 16, 16, 2048, 20480
			c.LossType, c.Epsilon, c.EpsilonHigh, c.DualClip, c.GenBatches = string(rl.LossDAPO), 0.2, 0.28, 10, 10
			c.LR, c.Warmup, c.WeightDecay = 1e-6, 10, 0.1
		}},
	{"simplerl", "SimpleRL-Zoo, arXiv 2503.18892: GRPO in verl, 4 updates, only a correctness reward; " +
		"with its simple prompt for weak models",
		func(c *config) {
			c.Template, c.Rewards = "plain", rewards{"math": 1}
			c.Prompts, c.Generations, c.MiniBatches, c.MaxPrompt, c.MaxTokens = 1024, 8, 4, 1024, 8192
			c.Beta, c.EntropyCoef = 1e-4, 0.001
			c.LR, c.WeightDecay = 5e-7, 0.01
		}},
	{"tinyzero", "TinyZero, scripts/train_tiny_zero.sh: PPO in verl, 4 updates, KL penalty in the reward",
		func(c *config) {
			verlPPO(c)
			c.Template, c.Rewards = "tinyzero", rewards{"tinyzero": 1}
			c.Prompts, c.MiniBatches, c.MaxPrompt, c.MaxTokens = 256, 4, 256, 1024
			c.RewardKL = 0.001
		}},
	{"ppo", "verl 0.9, ppo_trainer.yaml: 1,024 prompts in 4 updates",
		func(c *config) {
			verlPPO(c)
			c.Prompts, c.MiniBatches, c.MaxPrompt, c.MaxTokens = 1024, 4, 512, 512
		}},
}

// verlPPO sets verl's defaults of PPO.
func verlPPO(c *config) {
	c.Generations, c.Critic, c.ValueClip, c.DualClip = 1, "own", 0.5, 3
	c.LR, c.CriticLR, c.WeightDecay = 1e-6, 1e-5, 0.01
}

func findPreset(name string) (preset, error) {
	var names []string
	for _, p := range presets {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return preset{}, fmt.Errorf("preset is %q%s", name, keys.Suggest(name, names))
}

// listPresets prints the presets: a line with the name, then the source, indented and broken
// into lines of at most 100 characters.
func listPresets(w io.Writer) error {
	var text strings.Builder
	for _, p := range presets {
		text.WriteString(p.name)
		column := 100 // the source begins on a new line
		for _, word := range strings.Fields(p.source) {
			n := utf8.RuneCountInString(word)
			if column+1+n > 100 {
				text.WriteString("\n   ")
				column = 3
			}
			text.WriteString(" " + word)
			column += 1 + n
		}
		text.WriteString("\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}
