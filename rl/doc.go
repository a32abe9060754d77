// Package rl trains language models by reinforcement learning from verifiable
// rewards: GRPO (DeepSeekMath, arXiv 2402.03300) as DeepSeek-R1-Zero uses it,
// with the losses that grew out of it (DAPO, Dr.GRPO, BNPO), rollouts, and
// evaluation by pass@k and majority vote.
//
// One step of [GRPO] reads top to bottom:
//
//	prompts     Data(step)                        P prompts
//	rollout     Sampler → model.Generator         G completions each, with their log-probabilities
//	rewards     reward.Suite                      one verdict a completion and function
//	advantages  GroupAdvantages                   A = (r − mean) / std in the group of a prompt
//	updates     Objective.Loss → train.Trainer    NumIterations × MiniBatches optimizer updates
//
// Rollout and update run the same forward, so that the importance ratio of the
// first update is exactly 1: its loss is then −mean(A), about 0, which is no
// fault. Look at grad_norm and frac_reward_zero_std instead.
//
// A step is a pure function of (seed, step, weights): what a resumed run does
// is what an uninterrupted one would have done, bit for bit. The verdicts of
// verifiers, which a deadline may touch, are logged and replayed.
package rl
