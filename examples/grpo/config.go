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

// config is what a run does. Names are those of TRL where it has the thing. Each key is a
// flag too; those that are free may be others when a run is resumed.
type config struct {
	Preset string `json:"preset" free:"true" usage:"values to begin with, see -presets"`

	Format  string  `json:"format" usage:"of frozen weights and products: f32, bf16, fp8, q8, q4 or q4_1"`
	Rank    int     `json:"lora" usage:"rank of the adapters; 0 trains all weights"`
	Alpha   float64 `json:"alpha" usage:"the adapters' product is scaled by alpha/lora"`
	Targets string  `json:"targets" usage:"projections that get adapters, separated by commas"`

	Template  string  `json:"template" usage:"how problems become prompts: r1-zero, tinyzero, plain, chat or none"`
	System    string  `json:"system" usage:"message of the system before a problem, of the template chat"`
	Rewards   rewards `json:"rewards" usage:"their weights, such as math,format=0.5; one of 0 is measured alone"`
	Held      float64 `json:"held" usage:"part of the problems that is held out, above 0 and below 1"`
	MaxPrompt int     `json:"max_prompt_length" usage:"longest prompt in tokens; 0 means what the model takes"`

	Prompts     int     `json:"prompts" usage:"problems of a step"`
	Generations int     `json:"num_generations" usage:"completions of each"`
	MaxTokens   int     `json:"max_completion_length" usage:"longest completion in tokens"`
	Temperature float64 `json:"temperature" usage:"of the draws"`
	TopP        float64 `json:"top_p" usage:"draw from the most likely tokens of this mass; 1 means all"`
	TopK        int     `json:"top_k" usage:"draw from so many most likely tokens; 0 means all"`
	Slots       int     `json:"slots" usage:"most sequences decoded together"`

	Estimator   string  `json:"adv_estimator" usage:"grpo, rloo, reinforce_plus_plus or reinforce_plus_plus_baseline"`
	Scaling     string  `json:"scale_rewards" usage:"of advantages: group, batch or none; empty means the estimator's"`
	Aggregation string  `json:"multi_objective_aggregation" usage:"sum_then_normalize or normalize_then_sum"`
	RewardKL    float64 `json:"kl_in_reward" usage:"coefficient of the divergence in the reward"`
	SkipZeroStd bool    `json:"skip_zero_std" usage:"leave groups of equal rewards out of the loss"`
	GenBatches  int     `json:"max_num_gen_batches" usage:"batches a step of dynamic sampling; 0 means none"`
	Mask        bool    `json:"mask_truncated_completions" usage:"leave truncated completions out of the loss"`
	Shuffle     bool    `json:"shuffle_rewards" usage:"permute the rewards: the control that must not learn"`

	LossType    string  `json:"loss_type" usage:"mean over tokens: dapo, grpo, dr_grpo, bnpo or luspo"`
	Surrogate   string  `json:"surrogate" usage:"loss of a token: clip, cispo, sapo, reinforce or mirror_descent"`
	Level       string  `json:"importance_sampling_level" usage:"token, sequence, sequence_token or trajectory"`
	Epsilon     float64 `json:"epsilon" usage:"the importance ratio is clipped at 1-epsilon; 0 means 0.2"`
	EpsilonHigh float64 `json:"epsilon_high" usage:"and above at 1+epsilon_high; 0 means epsilon, and 4 for cispo"`
	DualClip    float64 `json:"delta" usage:"bound of the ratio at a negative advantage (dual-clip PPO); 0 means none"`
	TauPositive float64 `json:"sapo_temperature_pos" usage:"of the surrogate sapo; 0 means 1"`
	TauNegative float64 `json:"sapo_temperature_neg" usage:"of the surrogate sapo; 0 means 1.05"`
	MirrorTau   float64 `json:"mirror_tau" usage:"of the surrogate mirror_descent"`
	Beta        float64 `json:"beta" usage:"coefficient of the divergence in the loss"`
	Divergence  string  `json:"divergence" usage:"from the reference model: k1, k2, k3 or k3_unbiased; empty means k3"`
	EntropyCoef float64 `json:"entropy_coef" usage:"coefficient of the entropy bonus"`
	Iterations  int     `json:"num_iterations" usage:"passes over a rollout"`
	MiniBatches int     `json:"mini_batches" usage:"updates in a pass"`
	Correction  string  `json:"importance_sampling_mode" usage:"none if empty, or {token,sequence}_{truncate,mask}"`
	Cap         float64 `json:"importance_sampling_clip_max" usage:"greatest weight of it; 0 means 3"`
	OffPolicy   float64 `json:"off_policy_mask_threshold" usage:"of the off-policy sequence mask, in nats; 0 means none"`
	RefSync     int     `json:"ref_model_sync_steps" usage:"steps between copies of the model to the reference model"`
	RefMix      float64 `json:"ref_model_mixup_alpha" usage:"part of the current model in it; 0 means 1"`

	LR          float64 `json:"learning_rate" usage:"its peak"`
	Warmup      int     `json:"warmup_steps" usage:"steps in which it rises"`
	Decay       string  `json:"lr_scheduler_type" usage:"and then: constant or linear, to 0 at the end"`
	WeightDecay float64 `json:"weight_decay" usage:"of AdamW"`
	AdamBeta2   float64 `json:"adam_beta2" usage:"of AdamW"`
	MaxGradNorm float64 `json:"max_grad_norm" usage:"largest norm of the gradient"`
	Steps       int     `json:"steps" usage:"rollouts to learn from"`
	Rows        int     `json:"rows" usage:"most tokens of one forward and backward, unless one sequence has more"`

	Critic       string  `json:"critic" usage:"of PPO: none, own (a network) or trunk (a head on the policy)"`
	Gamma        float64 `json:"gamma" usage:"of GAE"`
	Lambda       float64 `json:"lam" usage:"of GAE"`
	ValueClip    float64 `json:"cliprange_value" usage:"how far a value counts as moved in a step"`
	ValueCoef    float64 `json:"vf_coef" usage:"of the value loss beside the policy's, of the critic trunk; 0 means 0.1"`
	CriticLR     float64 `json:"critic_learning_rate" usage:"of the critic own"`
	CriticWarmup int     `json:"critic_warmup" usage:"steps of the critic own alone"`

	EvalProblems int    `json:"eval_problems" free:"true" usage:"held-out problems to measure; 0 means none"`
	EvalSamples  int    `json:"eval_samples" free:"true" usage:"completions of each; several are drawn at top-p 0.95"`
	EvalEvery    int    `json:"eval_every" free:"true" usage:"steps between evaluations; 0 means none"`
	SaveEvery    int    `json:"save_every" free:"true" usage:"steps between checkpoints"`
	SamplesEvery int    `json:"samples_every" free:"true" usage:"steps between samples that are printed; 0 means none"`
	Seed         uint64 `json:"seed" usage:"of adapters, prompts, draws and what is held out"`
}

// base is what a run does where neither a preset nor anything else says more.
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

// resolve sets k, the keys of c, from the preset, the file at path if there is one, and the
// flags; the later ones win. notes say what of the preset does not fit the rest.
func (c *config) resolve(k *keys.Keys, path string) (notes []string, err error) {
	*c = base()
	if path != "" { // for its preset, and to refuse what is wrong in it first
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
		c.ValueClip = base().ValueClip // of the preset
	}
	if c.Rank > 0 && c.RefSync > 0 && !k.Given("ref_model_sync_steps") {
		notes = append(notes, fmt.Sprintf("ref_model_sync_steps %d of preset %s is left out: "+
			"with adapters the reference model is the model without them", c.RefSync, name))
		c.RefSync = 0
	}
	return notes, c.check()
}

// check refuses values that no run can have. What values mean together, rl.GRPO checks before
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
		return fmt.Errorf("system is set, which the template %s has no place for", c.Template)
	case c.Critic != "own" && c.CriticWarmup > 0:
		return fmt.Errorf("critic_warmup is %d, want critic own, which is %s", c.CriticWarmup, c.Critic)
	case c.Critic != "trunk" && c.ValueCoef > 0:
		return fmt.Errorf("vf_coef is %g, want critic trunk, which is %s", c.ValueCoef, c.Critic)
	case c.Critic == "none" && c.Gamma != base().Gamma:
		return fmt.Errorf("gamma is %g, want a critic: there is none", c.Gamma)
	case c.Critic == "none" && c.Lambda != base().Lambda:
		return fmt.Errorf("lam is %g, want a critic: there is none", c.Lambda)
	case c.Critic == "none" && c.ValueClip != base().ValueClip:
		return fmt.Errorf("cliprange_value is %g, want a critic: there is none", c.ValueClip)
	case c.Critic != "own" && c.CriticLR != base().CriticLR:
		return fmt.Errorf("critic_learning_rate is %g, want critic own, which is %s", c.CriticLR, c.Critic)
	case c.Critic != "none" && c.Scaling != "":
		return fmt.Errorf("scale_rewards is %s with critic %s, whose advantages are whitened", c.Scaling, c.Critic)
	case c.Critic != "none" && c.Aggregation != string(rl.SumThenNormalize):
		return fmt.Errorf("multi_objective_aggregation is %s with critic %s, which sees the sum", c.Aggregation, c.Critic)
	case c.Critic != "none" && c.Estimator != string(rl.EstimatorGRPO):
		return fmt.Errorf("adv_estimator is %s with critic %s, whose advantages are those of GAE", c.Estimator, c.Critic)
	case c.EvalEvery > 0 && c.EvalProblems == 0:
		return errors.New("eval_every is set and eval_problems is 0: there is nothing to measure")
	}
	return c.Rewards.check()
}

// upTo is the upper bound in words.
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

// updates are the optimizer updates of a step.
func (c *config) updates() int {
	return c.Iterations * min(c.MiniBatches, c.Prompts*c.Generations)
}

// shape is what a step has, in words.
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
