// Package rl trains language models by reinforcement learning from verifiable
// rewards: GRPO (DeepSeekMath, arXiv 2402.03300) as DeepSeek-R1-Zero uses it,
// with the losses that grew out of it (DAPO, Dr.GRPO, BNPO), PPO with a [Critic], and
// evaluation by pass@k and majority vote. Completions come from package rollout.
//
// One step of [GRPO] reads top to bottom:
//
//	prompts     Data(step)                        P prompts
//	rollout     rollout.Sampler                   G completions each, with their log-probabilities
//	rewards     reward.Suite                      one verdict a completion and function
//	advantages  GroupAdvantages                   A = (r − mean) / std in the group of a prompt
//	            or Critic, GAE                    of a value for each token, whitened: PPO
//	updates     Objective.Loss → train.Trainer    NumIterations × MiniBatches optimizer updates
//
// Rollout and update run the same forward, so that the importance ratio of the
// first update is exactly 1: its loss is then −mean(A), about 0, which is no
// fault. Look at grad_norm and frac_reward_zero_std instead.
//
// A step is a pure function of (seed, step, weights): what a resumed run does
// is what an uninterrupted one would have done, bit for bit. The verdicts of
// verifiers, which a deadline may touch, are logged and replayed.
//
// # Losses
//
//	loss  paper             name elsewhere             fields of GRPO  tested against
//	PPO   arXiv 1707.06347  adv_estimator gae of verl  Critic          verl 0.9.1: advantages, returns, value loss,
//	      arXiv 1506.02438  (TRL 1.16 has no PPO)                      its gradient, metrics
//
// # Metrics
//
// The metrics of a step, in train.Metrics and in metrics.jsonl, have TRL's names
// where TRL has them; each is a constant Metric… of package train, of package
// reward or of this one. Units: nats; tok, tokens; s, seconds; n, a count; 1, a
// number without one. A token is one of a completion in the loss where nothing
// else is said. Of several updates in a step, metrics are means, minima and
// maxima extremes.
//
//	name                                              unit  absent                   meaning
//	step                                              n     never                    steps made, this one included
//	step_time                                         s     never                    wall time
//	loss                                              1     no update                the loss, all terms added
//	grad_norm                                         1     no update                norm of the gradient before clipping
//	learning_rate                                     1     no update                of the last update
//	num_tokens                                        tok   never                    so far; GRPO: read and written
//	lm_loss                                           nats  GRPO                     cross-entropy of the next token
//	mtp_loss                                          1     no Drafter               loss of the Drafter
//	aux_loss                                          1     BalanceAlpha is 0        balance loss of the experts
//	skipped                                           1     none was skipped         share of updates skipped
//	moe/<layer>/maxvio                                1     no experts, no update    max/mean − 1 of the load
//	moe/<layer>/load                                  n     no experts, no update    assignments to each expert
//
// Further gates of a layer are at moe/<layer>.1/… and so on.
//
// Of a step of GRPO:
//
//	completions/{mean,min,max}_length                 tok   never                    length of all completions
//	completions/{mean,min,max}_terminated_length      tok   never                    of those not truncated; 0 for none
//	completions/clipped_ratio                         1     never                    share of truncated completions
//	rewards/<fn>/{mean,std}                           1     none was scored          of one function, before its weight
//	rewards/<fn>/<status>                             n     never                    verdicts with a status
//	reward                                            1     none has a reward        mean of the total
//	reward_std                                        1     none has a reward        its deviation (n−1) over the batch
//	frac_reward_zero_std                              1     with a Critic            share of groups with equal rewards
//	policy_loss                                       1     no update                loss without entropy and extra terms
//	entropy                                           nats  no update                mean over tokens
//	kl                                                nats  Beta is 0, no update     k3(π_θ ‖ π_ref), mean over tokens
//	approx_kl                                         nats  no update                k3(π_old ‖ π_θ), mean over tokens
//	clip_ratio/{low,high,region}_mean                 1     no update                share of tokens clipped
//	clip_ratio/low_min                                1     no update                least share in a completion
//	clip_ratio/high_max                               1     no update                greatest share in a completion
//	ratio/{min,mean,max}                              1     no update                π_θ/π_old of tokens
//	sampling/sampling_logp_difference/{mean,max}      nats  never                    |log π_θ − log π_old|, first update
//	sampling/importance_sampling_ratio/{min,mean,max} 1     never                    π_θ/π_old, first update
//
// Of its Critic, by verl's names:
//
//	critic/vf_loss                                    1     no Critic, no update     value loss, without Coef
//	critic/vf_clipfrac                                1     no Critic, no update     share of tokens clipped
//	critic/vpred_mean                                 1     no Critic, no update     values during the updates
//	critic/vf_explained_var                           1     no Critic                1 − Var(R − V)/Var(R)
//	critic/values/{mean,min,max}                      1     no Critic                values before the updates
//	critic/returns/{mean,min,max}                     1     no Critic                returns
//	critic/advantages/{mean,min,max}                  1     no Critic                advantages, whitened
//	critic/grad_norm                                  1     no network of its own    norm of the critic's gradient
//	critic/lr                                         1     no network of its own    its learning rate
//	critic/aux_loss                                   1     its BalanceAlpha is 0    balance loss of its experts
//	critic/skipped                                    1     none was skipped         share of its updates skipped
//	critic/moe/<layer>/{maxvio,load}                  1, n  no experts of its own    of its experts, as above
//
// Of an [Evaluation], by EvalResult.Metrics, which a Trainer.Eval may return to have
// them among those of the step, as verl names it; there are also
// the completions/… and rewards/… of above, after eval_:
//
//	val-core/<source>/mean@<n>                        1     never                    avg@n, which estimates pass@1
//	val-core/<source>/best@<n>/mean                   1     never                    pass@n
//	val-core/<source>/maj@<n>/mean                    1     no Extract               maj@n
//
// approx_kl, ratio/…, moe/…, critic/…, rewards/<fn>/<status>, lm_loss, mtp_loss and
// skipped are not TRL's.
package rl
