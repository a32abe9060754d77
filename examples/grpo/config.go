package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/keys"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/rl"
)

// config is the configuration of a run. Its keys have the names of TRL where TRL has the same
// setting. Each key is also a flag. Keys tagged free may change when a run is resumed.
type config struct {
	Preset string `json:"preset" free:"true" usage:"preset that the other keys override, see -presets"`

	Format  string  `json:"format" usage:"format of the frozen weights: f32, bf16, fp8, q8, q4 or q4_1"`
	Rank    int     `json:"lora" usage:"rank of the LoRA adapters; 0 trains all weights"`
	Alpha   float64 `json:"alpha" usage:"LoRA alpha: the adapters' output is scaled by alpha/lora"`
	Targets string  `json:"targets" usage:"projections that get adapters, separated by commas"`

	Template  string  `json:"template" usage:"template of the prompts: r1-zero, tinyzero, plain, chat or none"`
	System    string  `json:"system" usage:"system message, for template chat"`
	Rewards   rewards `json:"rewards" usage:"rewards and weights, such as math,format=0.5; with 0 it is only measured"`
	Held      float64 `json:"held" usage:"fraction of the problems that is held out, above 0 and below 1"`
	MaxPrompt int     `json:"max_prompt_length" usage:"maximum prompt tokens; 0 means as many as the context allows"`

	Prompts     int     `json:"prompts" usage:"problems per step"`
	Generations int     `json:"num_generations" usage:"completions per problem (group size)"`
	MaxTokens   int     `json:"max_completion_length" usage:"maximum tokens of a completion"`
	Temperature float64 `json:"temperature" usage:"sampling temperature"`
	TopP        float64 `json:"top_p" usage:"nucleus sampling: probability of the tokens to sample from; 1 means all"`
	TopK        int     `json:"top_k" usage:"number of most likely tokens to sample from; 0 means all"`
	Slots       int     `json:"slots" usage:"maximum number of sequences that are decoded together"`

	Estimator   string  `json:"adv_estimator" usage:"grpo, rloo, reinforce_plus_plus or reinforce_plus_plus_baseline"`
	Scaling     string  `json:"scale_rewards" usage:"std of advantages: group, batch or none; empty: the estimator's"`
	Aggregation string  `json:"multi_objective_aggregation" usage:"of rewards: sum_then_normalize or normalize_then_sum"`
	RewardKL    float64 `json:"kl_in_reward" usage:"coefficient of the KL penalty in the reward"`
	SkipZeroStd bool    `json:"skip_zero_std" usage:"leave groups with equal rewards out of the loss"`
	GenBatches  int     `json:"max_num_gen_batches" usage:"maximum batches per step of dynamic sampling; 0 turns it off"`
	Mask        bool    `json:"mask_truncated_completions" usage:"leave truncated completions out of the loss"`
	Shuffle     bool    `json:"shuffle_rewards" usage:"control experiment: permute the rewards; nothing can be learned"`

	LossType    string  `json:"loss_type" usage:"average over tokens: dapo, grpo, dr_grpo, bnpo or luspo"`
	Surrogate   string  `json:"surrogate" usage:"loss of a token: clip, cispo, sapo, reinforce or mirror_descent"`
	Level       string  `json:"importance_sampling_level" usage:"ratio of a token, sequence, sequence_token or trajectory"`
	Epsilon     float64 `json:"epsilon" usage:"the importance ratio is clipped below at 1-epsilon; 0 means 0.2"`
	EpsilonHigh float64 `json:"epsilon_high" usage:"it is clipped above at 1+epsilon_high; 0 means epsilon (cispo: 4)"`
	DualClip    float64 `json:"delta" usage:"dual-clip PPO: bound of the ratio if the advantage is negative; 0 means none"`
	TauPositive float64 `json:"sapo_temperature_pos" usage:"temperature of sapo for positive advantages; 0 means 1"`
	TauNegative float64 `json:"sapo_temperature_neg" usage:"temperature of sapo for negative advantages; 0 means 1.05"`
	MirrorTau   float64 `json:"mirror_tau" usage:"coefficient tau of mirror_descent"`
	Beta        float64 `json:"beta" usage:"coefficient of the KL divergence from the reference model in the loss"`
	Divergence  string  `json:"divergence" usage:"KL estimator: k1, k2, k3 or k3_unbiased; empty means k3"`
	EntropyCoef float64 `json:"entropy_coef" usage:"coefficient of the entropy bonus"`
	Iterations  int     `json:"num_iterations" usage:"passes over each rollout"`
	MiniBatches int     `json:"mini_batches" usage:"optimizer updates per pass"`
	Correction  string  `json:"importance_sampling_mode" usage:"off-policy correction: {token,sequence}_{truncate,mask}"`
	Cap         float64 `json:"importance_sampling_clip_max" usage:"largest weight in off-policy correction; 0 means 3"`
	OffPolicy   float64 `json:"off_policy_mask_threshold" usage:"of the off-policy sequence mask, in nats; 0 means none"`
	RefSync     int     `json:"ref_model_sync_steps" usage:"steps between updates of the reference model; 0 means never"`
	RefMix      float64 `json:"ref_model_mixup_alpha" usage:"weight of the policy in a copy to the reference; 0 means 1"`

	LR          float64 `json:"learning_rate" usage:"peak learning rate"`
	Warmup      int     `json:"warmup_steps" usage:"steps of learning rate warm-up"`
	Decay       string  `json:"lr_scheduler_type" usage:"learning rate after the warm-up: constant, or linear decay to 0"`
	WeightDecay float64 `json:"weight_decay" usage:"weight decay of AdamW"`
	AdamBeta2   float64 `json:"adam_beta2" usage:"beta2 of AdamW"`
	MaxGradNorm float64 `json:"max_grad_norm" usage:"norm at which gradients are clipped"`
	Steps       int     `json:"steps" usage:"number of steps, each with one rollout"`
	Rows        int     `json:"rows" usage:"maximum tokens of a micro-batch, unless one sequence has more"`

	Critic       string  `json:"critic" usage:"critic of PPO: none, own (a second model) or trunk (a head on the policy)"`
	Gamma        float64 `json:"gamma" usage:"discount factor of GAE"`
	Lambda       float64 `json:"lam" usage:"lambda of GAE"`
	ValueClip    float64 `json:"cliprange_value" usage:"clip range of the value loss"`
	ValueCoef    float64 `json:"vf_coef" usage:"coefficient of the value loss, for critic trunk; 0 means 0.1"`
	CriticLR     float64 `json:"critic_learning_rate" usage:"learning rate for critic own"`
	CriticWarmup int     `json:"critic_warmup" usage:"first steps in which only critic own is updated"`

	EvalProblems int    `json:"eval_problems" free:"true" usage:"held-out problems to evaluate; 0 means no evaluation"`
	EvalSamples  int    `json:"eval_samples" free:"true" usage:"completions per problem: 1 is greedy, more are sampled"`
	EvalEvery    int    `json:"eval_every" free:"true" usage:"steps between evaluations; 0 means none during training"`
	SaveEvery    int    `json:"save_every" free:"true" usage:"steps between checkpoints"`
	SamplesEvery int    `json:"samples_every" free:"true" usage:"steps between printed completions; 0 means none"`
	Seed         uint64 `json:"seed" usage:"seed of adapters, prompt order, sampling and the held-out choice"`
}

// base returns the defaults that presets, files and flags override.
func base() config {
	return config{
		Format: "f32", Alpha: 32, Targets: "all-linear",
		Template: "chat", Rewards: rewards{"math": 1}, Held: 0.05,
		Prompts: 8, Generations: 8, MaxTokens: 512, Temperature: 1, TopP: 1, Slots: 16,
		Estimator: string(rl.EstimatorGRPO), Aggregation: string(rl.SumThenNormalize),
		LossType: string(rl.LossDAPO), Surrogate: string(rl.SurrogateClip), Level: string(rl.LevelToken),
		Iterations: 1, MiniBatches: 1,
		LR: 1e-6, Decay: "constant", AdamBeta2: 0.999, MaxGradNorm: 1, Steps: 100, Rows: 2048,
		Critic: "none", Gamma: 1, Lambda: 1, ValueClip: 0.2, CriticLR: 1e-5,
		EvalProblems: 64, EvalSamples: 1, SaveEvery: 10, SamplesEvery: 10, Seed: 1,
	}
}

// resolve sets k, the keys of c, from the preset, then from the file at path, unless path is
// empty, and then from the flags. It returns notes about values of the preset that it ignores.
func (c *config) resolve(k *keys.Keys, path string) (notes []string, err error) {
	*c = base()
	if path != "" { // check the file and find its preset
		if err := k.File(path); err != nil {
			return nil, err
		}
	}
	name, ok := k.Text("preset")
	if !ok {
		name = c.Preset
	}
	*c = base()
	if name != "" {
		p, err := findPreset(name)
		if err != nil {
			return nil, err
		}
		p.set(c)
		c.Preset = name
	}
	if path != "" {
		if err := k.File(path); err != nil {
			return nil, err
		}
	}
	if err := k.SetFlags(); err != nil {
		return nil, err
	}
	if c.Critic == "none" && !k.Given("cliprange_value") {
		c.ValueClip = base().ValueClip // ignore the preset's value
	}
	if c.Rank > 0 && c.RefSync > 0 && !k.Given("ref_model_sync_steps") {
		notes = append(notes, fmt.Sprintf("ref_model_sync_steps %d of preset %s is ignored: "+
			"with adapters the reference model is the model without them", c.RefSync, name))
		c.RefSync = 0
	}
	return notes, c.check()
}

// check returns an error if a value is invalid. rl.GRPO checks combinations of values, before
// the model is loaded.
func (c *config) check() error {
	for _, w := range []struct {
		key, value string
		known      []string
	}{
		{"format", c.Format, formats()}, {"template", c.Template, templates},
		{"adv_estimator", c.Estimator, words(rl.EstimatorGRPO, rl.EstimatorRLOO, rl.EstimatorReinforcePlusPlus,
			rl.EstimatorReinforcePlusPlusBaseline)},
		{"scale_rewards", c.Scaling, words("", rl.ScaleGroup, rl.ScaleBatch, rl.ScaleNone)},
		{"multi_objective_aggregation", c.Aggregation, words(rl.SumThenNormalize, rl.NormalizeThenSum)},
		{"loss_type", c.LossType, words(rl.LossDAPO, rl.LossGRPO, rl.LossDrGRPO, rl.LossBNPO, rl.LossLUSPO)},
		{"surrogate", c.Surrogate, words(rl.SurrogateClip, rl.SurrogateCISPO, rl.SurrogateSAPO, rl.SurrogateReinforce,
			rl.SurrogateMirrorDescent)},
		{"importance_sampling_level", c.Level, words(rl.LevelToken, rl.LevelSequence, rl.LevelSequenceToken,
			rl.LevelTrajectory)},
		{"divergence", c.Divergence, words("", rl.DivergenceK1, rl.DivergenceK2, rl.DivergenceK3,
			rl.DivergenceK3Unbiased)},
		{"importance_sampling_mode", c.Correction, words("", rl.CorrectionTokenTruncate, rl.CorrectionTokenMask,
			rl.CorrectionSequenceTruncate, rl.CorrectionSequenceMask)},
		{"lr_scheduler_type", c.Decay, []string{"constant", "linear"}},
		{"critic", c.Critic, []string{"none", "own", "trunk"}},
	} {
		if !slices.Contains(w.known, w.value) {
			return fmt.Errorf("%s is %q%s", w.key, w.value, keys.Suggest(w.value, w.known))
		}
	}
	for _, n := range []struct {
		key          string
		value, least int
	}{
		{"lora", c.Rank, 0}, {"max_prompt_length", c.MaxPrompt, 0}, {"prompts", c.Prompts, 1},
		{"num_generations", c.Generations, 1}, {"max_completion_length", c.MaxTokens, 1}, {"top_k", c.TopK, 0},
		{"max_num_gen_batches", c.GenBatches, 0},
		{"slots", c.Slots, 1}, {"num_iterations", c.Iterations, 1}, {"mini_batches", c.MiniBatches, 1},
		{"ref_model_sync_steps", c.RefSync, 0}, {"warmup_steps", c.Warmup, 0}, {"steps", c.Steps, 1}, {"rows", c.Rows, 1},
		{"critic_warmup", c.CriticWarmup, 0}, {"eval_problems", c.EvalProblems, 0}, {"eval_samples", c.EvalSamples, 1},
		{"eval_every", c.EvalEvery, 0}, {"save_every", c.SaveEvery, 1}, {"samples_every", c.SamplesEvery, 0},
	} {
		if n.value < n.least {
			return fmt.Errorf("%s is %d, want %d or more", n.key, n.value, n.least)
		}
	}
	const above = math.SmallestNonzeroFloat64
	for _, n := range []struct {
		key                string
		value, least, most float64
	}{
		{"alpha", c.Alpha, above, math.MaxFloat32}, {"held", c.Held, above, math.Nextafter(1, 0)},
		{"temperature", c.Temperature, above, math.MaxFloat32}, {"top_p", c.TopP, above, 1},
		{"learning_rate", c.LR, above, math.MaxFloat32}, {"weight_decay", c.WeightDecay, 0, math.MaxFloat32},
		{"adam_beta2", c.AdamBeta2, above, math.Nextafter(1, 0)}, {"max_grad_norm", c.MaxGradNorm, above, math.Inf(1)},
		{"gamma", c.Gamma, above, 1}, {"lam", c.Lambda, above, 1}, {"cliprange_value", c.ValueClip, above, math.MaxFloat32},
		{"vf_coef", c.ValueCoef, 0, math.MaxFloat32}, {"critic_learning_rate", c.CriticLR, above, math.MaxFloat32},
	} {
		switch {
		case n.value >= n.least && n.value <= n.most:
		case n.least == above:
			return fmt.Errorf("%s is %g, want more than 0%s", n.key, n.value, upTo(n.most))
		default:
			return fmt.Errorf("%s is %g, want %g or more%s", n.key, n.value, n.least, upTo(n.most))
		}
	}
	switch {
	case c.System != "" && c.Template != "chat":
		return fmt.Errorf("system is set, but template %s has no system message", c.Template)
	case c.Critic != "own" && c.CriticWarmup > 0:
		return fmt.Errorf("critic_warmup is %d, which needs critic own, but critic is %s", c.CriticWarmup, c.Critic)
	case c.Critic != "trunk" && c.ValueCoef > 0:
		return fmt.Errorf("vf_coef is %g, which needs critic trunk, but critic is %s", c.ValueCoef, c.Critic)
	case c.Critic == "none" && c.Gamma != base().Gamma:
		return fmt.Errorf("gamma is %g, which needs a critic, but critic is none", c.Gamma)
	case c.Critic == "none" && c.Lambda != base().Lambda:
		return fmt.Errorf("lam is %g, which needs a critic, but critic is none", c.Lambda)
	case c.Critic == "none" && c.ValueClip != base().ValueClip:
		return fmt.Errorf("cliprange_value is %g, which needs a critic, but critic is none", c.ValueClip)
	case c.Critic != "own" && c.CriticLR != base().CriticLR:
		return fmt.Errorf("critic_learning_rate is %g, which needs critic own, but critic is %s", c.CriticLR, c.Critic)
	case c.Critic != "none" && c.Scaling != "":
		return fmt.Errorf("scale_rewards is %s with critic %s, whose advantages are whitened", c.Scaling, c.Critic)
	case c.Critic != "none" && c.Aggregation != string(rl.SumThenNormalize):
		return fmt.Errorf("multi_objective_aggregation is %s with critic %s, which uses the sum", c.Aggregation, c.Critic)
	case c.Critic != "none" && c.Estimator != string(rl.EstimatorGRPO):
		return fmt.Errorf("adv_estimator is %s with critic %s, whose advantages are computed by GAE", c.Estimator, c.Critic)
	case c.EvalEvery > 0 && c.EvalProblems == 0:
		return errors.New("eval_every is set, but eval_problems is 0: there is nothing to evaluate")
	}
	return c.Rewards.check()
}

// upTo returns the upper bound most in words, or "" if there is no bound.
func upTo(most float64) string {
	if most >= math.MaxFloat32 {
		return ""
	}
	if most < 1 {
		return " and less than 1"
	}
	return fmt.Sprintf(" and at most %g", most)
}

func words[T ~string](values ...T) (list []string) {
	for _, v := range values {
		list = append(list, string(v))
	}
	return list
}

func formats() (names []string) {
	for _, f := range backend.Formats() {
		names = append(names, lab.FormatName(f))
	}
	return names
}

// updates returns the number of optimizer updates per step.
func (c *config) updates() int {
	return c.Iterations * min(c.MiniBatches, c.Prompts*c.Generations)
}

// shape describes the steps in words.
func (c *config) shape() string {
	var w strings.Builder
	fmt.Fprintf(&w, "%d steps of %d prompts × %d completions = %d, of up to %d tokens, and %d updates", c.Steps,
		c.Prompts, c.Generations, c.Prompts*c.Generations, c.MaxTokens, c.updates())
	fmt.Fprintf(&w, "; loss %s", c.LossType)
	if c.Critic != "none" {
		fmt.Fprintf(&w, ", critic %s", c.Critic)
	} else {
		fmt.Fprintf(&w, ", advantages %s", cmp.Or(c.Estimator, "grpo"))
	}
	fmt.Fprintf(&w, ", rewards %v, prompts %s", c.Rewards, c.Template)
	return w.String()
}
