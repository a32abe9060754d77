// Package rl trains language models by reinforcement learning from verifiable rewards and
// from preferences. It has GRPO (DeepSeekMath, arXiv 2402.03300) as used for
// DeepSeek-R1-Zero, the losses derived from it (DAPO, Dr.GRPO, BNPO and others), PPO with a
// [Critic], and [DPO]. It trains reward models, [OutcomeModel] and [ProcessModel], and
// evaluates models by pass@k and majority vote. Package rollout samples the completions.
//
// One step of [GRPO] reads top to bottom:
//
//	prompts     Data(step)                        P prompts, and further ones by DynamicSampling
//	rollout     rollout.Sampler                   G completions each, with their log-probabilities
//	rewards     reward.Suite                      one verdict for each completion and function
//	advantages  Estimator                         GRPO: A = (r − mean) / std in the group of a prompt
//	            or Critic and GAE                 PPO: from a value for each token, whitened
//	updates     Objective.Loss → train.Trainer    NumIterations × MiniBatches optimizer updates
//
// Rollout and update run the same forward pass, so the importance ratio of the first update
// is exactly 1. Its loss is then −mean(A), which is about 0; this is not an error. Look at
// grad_norm and frac_reward_zero_std instead.
//
// A step is a pure function of (seed, step, weights), so a resumed run gives the same bits
// as an uninterrupted one. Verdicts of verifiers may depend on a deadline; they are
// therefore logged, and a resumed run reads them from the log.
//
// For people who watch a run, GRPO also writes samples.jsonl (completions of each step, see
// [GRPO].LogGroups), alarms.jsonl and preflight.txt to Trainer.Dir.
//
// # Rollouts in another precision
//
// A [rollout.Generator] may generate with a model in another precision, form of MLA or
// format, such as backend.Q8, if its field Trained is the trained model: before each rollout
// it copies the trained weights. Its log-probabilities then differ from the trained model's,
// which the metrics sampling/… show. With a mixture of experts, most of the difference comes
// from gates that route some tokens to other experts. With model.GeneratorOptions.Experts
// the rollout records the experts of each token, 2 bytes for each, and the metric
// moe/router_mismatch is the share of tokens and gates for which the trained model chooses
// other experts. [GRPO.RouterReplay] routes the tokens of updates to the recorded experts,
// so that only rounding differs; the metric then shows what the gates would have chosen.
// [OffPolicy] corrects for the remaining difference, and for updates since the rollout.
//
// # Losses
//
// A loss consists of the surrogate of a token, given by Objective.Surrogate and
// Objective.Level, and of an average over tokens, given by LossType. The table lists the
// name of each loss in other libraries, the fields of [GRPO] and its Objective to set if
// they are not defaults, and the library that tests compare it with: values and gradients
// agree to 1e-9 in float64. Names are values of loss_type in TRL unless stated otherwise,
// and of policy_loss.loss_mode in verl.
//
//	loss               arXiv       name there                       fields                               tested against
//	DAPO               2503.14476  TRL dapo, verl vanilla           EpsilonHigh 0.28                     TRL, verl
//	GRPO               2402.03300  TRL grpo                         LossType grpo                        TRL
//	Dr.GRPO            2503.20783  TRL dr_grpo                      LossType dr_grpo, Scaling none       TRL
//	BNPO                           TRL bnpo                         LossType bnpo                        TRL
//	dual-clip PPO      1912.09729  TRL delta, verl clip_ratio_c     DualClip 3                           TRL, verl
//	GSPO               2507.18071  TRL importance_sampling_level    Level sequence, LossType grpo        TRL
//	GSPO-token         2507.18071  verl gspo                        Level sequence_token, LossType grpo  verl
//	LUSPO              2602.05261  TRL luspo                        Level sequence, LossType luspo       TRL
//	CISPO              2506.13585  TRL cispo, epsilon_high 5        Surrogate cispo                      TRL
//	CISPO              2506.13585  verl cispo                       Surrogate cispo, EpsilonLow and EpsilonHigh  verl
//	SAPO               2511.20347  TRL sapo, verl sapo              Surrogate sapo, LossType grpo        TRL, verl
//	REINFORCE                      verl reinforce                   Surrogate reinforce                  verl
//	RLOO's loss        2402.14740  TRL RLOOTrainer                  Level trajectory, LossType grpo      TRL
//	Kimi k1.5          2501.12599                                   Surrogate mirror_descent,            by hand
//	                                                                Level sequence, LossType luspo,
//	                                                                Scaling none
//	token by token                 verl dro                         Surrogate mirror_descent             verl
//	k1, k2, k3                     verl kl_loss_type                Divergence k1, k2, k3                verl, TRL (k3)
//	DeepSeek-V3.2's    2512.02556  TRL use_bias_correction_kl       Divergence k3_unbiased               TRL
//
// Advantages also agree to 1e-9. Names are fields of GRPOConfig and RLOOConfig in TRL, and
// values of algorithm.adv_estimator in verl.
//
//	advantage          arXiv       name there                       fields                               tested against
//	group              2402.03300  TRL scale_rewards, verl grpo     Scaling group, batch, none           TRL
//	process            2402.03300                                   Process                              by hand
//	leave one out      2402.14740  TRL RLOOTrainer, verl rloo       Estimator rloo                       TRL, verl
//	same, normalised   2402.14740  TRL normalize_advantages         Estimator rloo, Scaling batch        TRL
//	REINFORCE++        2501.03262  verl reinforce_plus_plus         Estimator reinforce_plus_plus        verl
//	same, baseline     2501.03262  verl reinforce_plus_plus_baseline Estimator reinforce_plus_plus_baseline  verl
//	GAE: PPO           1707.06347, verl gae (TRL 1.16 has none)     Critic                               verl
//	                   1506.02438
//	dynamic sampling   2503.14476  verl filter_groups.enable        DynamicSampling                      by hand
//	GDPO               2601.05242  TRL multi_objective_aggregation  Aggregation normalize_then_sum       TRL
//	KL in the reward               TRL RLOOTrainer's beta, verl     RewardKL                             TRL, verl
//	                               use_kl_in_reward
//
// Corrections of off-policy rollouts are fields of [OffPolicy], and of GRPOConfig in TRL.
// Importance weights, losses and gradients also agree to 1e-9.
//
//	correction         arXiv       name there                       fields                               tested against
//	truncated, masked              TRL vllm_importance_sampling_mode Correction                          TRL
//	bounds                         TRL ..._clip_max, ..._clip_min   Cap, Min                             TRL
//	off-policy mask    2512.02556  TRL off_policy_mask_threshold    MaskThreshold                        TRL
//
// Losses of preferences, and the fields of [DPO] to set:
//
//	loss                   arXiv       name                   fields                        tested against
//	DPO                    2305.18290  sigmoid                DPO{}                         TRL DPOTrainer
//	conservative DPO       2305.18290  label_smoothing        LabelSmoothing                TRL CPOTrainer
//	robust DPO             2403.00409  robust                 PreferenceRobust              TRL DPOTrainer
//	IPO                    2310.12036  ipo                    PreferenceIPO                 TRL DPOTrainer
//	DPO by mean log-ratios 2411.15124  sigmoid_norm           PreferenceSigmoidNorm         TRL DPOTrainer
//	mixed reference model  2404.09656  ref_model_mixup_alpha  RefSync, RefMix               TRL SyncRefModelCallback
//
// Losses of reward models, [OutcomeTraining] and [ProcessTraining], tested on models made by
// transformers. The method Func makes a reward function of a trained model, and
// ProcessModel.Process rewards the steps of completions:
//
//	loss                   arXiv       name                        fields              tested against
//	Bradley–Terry          2203.02155  RewardTrainer               OutcomeTraining     TRL RewardTrainer
//	with a margin          2307.09288  margin                      Pair.Margin         TRL RewardTrainer
//	centred                2312.09244  center_rewards_coefficient  CenterRewards       TRL RewardTrainer
//	step by step           2305.20050  PRMTrainer                  ProcessTraining     transformers, TRL PRMTrainer
//
// # Metrics
//
// The metrics of a step, in train.Metrics and in metrics.jsonl, have TRL's names if TRL has
// them. Each is a constant Metric… of package train, package reward or this package. The
// units are nats; tok, tokens; s, seconds; n, a count; 1, a number without a unit. "Absent"
// says when a step lacks the metric. Unless stated otherwise, tokens are completion tokens in
// the loss. If a step has several updates, metrics are averaged over them; minima and maxima
// are extremes.
//
//	name                                              unit  absent                   meaning
//	step                                              n     never                    steps made, including this one
//	step_time                                         s     never                    wall time
//	loss                                              1     no update                sum of all terms of the loss
//	grad_norm                                         1     no update                norm of the gradient before clipping
//	learning_rate                                     1     no update                learning rate of the last update
//	num_tokens                                        tok   never                    total; GRPO: prompts and completions
//	lm_loss                                           nats  GRPO, DPO, reward models cross-entropy of the next token
//	mtp_loss                                          1     no Drafter               loss of the Drafter
//	aux_loss                                          1     BalanceAlpha is 0        balance loss of the experts
//	skipped                                           1     no update skipped        share of updates skipped
//	moe/<layer>/maxvio                                1     no experts, no update    max/mean − 1 of the load
//	moe/<layer>/load                                  n     no experts, no update    assignments to each expert
//
// If a layer has more than one gate, the metrics of the second are at moe/<layer>.1/… and so
// on.
//
// Metrics of a step of GRPO:
//
//	completions/{mean,min,max}_length                 tok   never                    length of all completions
//	completions/{mean,min,max}_terminated_length      tok   never                    without truncated ones; 0 for none
//	completions/clipped_ratio                         1     never                    share of truncated completions
//	rewards/<fn>/{mean,std}                           1     no sample scored         of one function, before its weight
//	rewards/<fn>/<status>                             n     never                    number of verdicts with the status
//	reward                                            1     no sample has a reward   mean of the total
//	reward_std                                        1     no sample has a reward   its deviation (n−1) over the batch
//	frac_reward_zero_std                              1     with a Critic            share of groups with equal rewards
//	train/num_gen_batches                             n     DynamicSampling is 0     batches of prompts in the step
//	train/dropped_groups                              1     DynamicSampling is 0     share of groups dropped
//	reward_length_correlation                         1     no spread                within groups
//	policy_loss                                       1     no update                loss without entropy and extra terms
//	entropy                                           nats  no update                mean over tokens
//	kl                                                nats  no reference, no update  Divergence, mean over tokens
//	approx_kl                                         nats  no update                k3(π_old ‖ π_θ), token mean
//	clip_ratio/{low,high,region}_mean                 1     not clip, no update      share of tokens clipped
//	clip_ratio/low_min                                1     not clip, no update      least share in a completion
//	clip_ratio/high_max                               1     not clip, no update      greatest share in a completion
//	clip_ratio/dual_mean                              1     DualClip is 0, no update share bounded by DualClip
//	cispo_clip_ratio                                  1     not cispo, no update     share of tokens clipped
//	ratio/{min,mean,max}                              1     no update                π_θ/π_old of tokens
//	sampling/sampling_logp_difference/{mean,max}      nats  never                    |log π_θ − log μ|, first update
//	sampling/importance_sampling_ratio/{min,mean,max} 1     never                    π_θ/μ or w, first update
//	sampling/off_policy_masked                        1     no MaskThreshold, update share of tokens masked
//	moe/router_mismatch                               1     no record, no update     share of other experts, first update
//
// μ is the distribution that the rollout was sampled from. It is π_old unless
// OffPolicy.Correction is set; then w is the importance weight of tokens or of completions.
//
// With RewardKL, kl is the mean of log μ − log π_ref over all tokens of the rollout. At
// LevelSequence and LevelTrajectory, all tokens of a completion have one ratio, and shares of
// clipped tokens are shares of completions.
//
// Metrics of a step of [DPO] are means over its pairs. DPO.Evaluate returns them with the
// prefix eval_, and eval_loss. logps are sums over the tokens of a completion, and entropy is
// the mean over the tokens of both completions:
//
//	rewards/chosen                                    1     never                    β·log(π_θ/π_ref) of the chosen
//	rewards/rejected                                  1     never                    the same of the rejected
//	rewards/accuracies                                1     never                    share with chosen > rejected
//	rewards/margins                                   1     never                    chosen − rejected
//	logps/chosen                                      nats  never                    log π_θ of the chosen completion
//	logps/rejected                                    nats  never                    log π_θ of the rejected completion
//
// Metrics of a step of [OutcomeTraining], over its pairs. [ProcessTraining] has only
// accuracy. Their Evaluate returns these with the prefix eval_, and eval_loss:
//
//	min_reward                                        1     never                    least score
//	mean_reward                                       1     never                    mean score
//	max_reward                                        1     never                    greatest score
//	accuracy                                          1     never                    share of pairs or steps judged right
//	margin                                            1     never                    mean of chosen − rejected
//
// Metrics of GRPO's Critic, by verl's names:
//
//	critic/vf_loss                                    1     no Critic, no update     value loss, without Coef
//	critic/vf_clipfrac                                1     no Critic, no update     share of tokens clipped
//	critic/vpred_mean                                 1     no Critic, no update     values during the updates
//	critic/vf_explained_var                           1     no Critic, empty loss    1 − Var(R − V)/Var(R)
//	critic/values/{mean,min,max}                      1     no Critic, empty loss    values before the updates
//	critic/returns/{mean,min,max}                     1     no Critic, empty loss    returns
//	critic/advantages/{mean,min,max}                  1     no Critic, empty loss    advantages, whitened
//	critic/grad_norm                                  1     no Critic.Trainer        norm of the critic's gradient
//	critic/lr                                         1     no Critic.Trainer        the critic's learning rate
//	critic/aux_loss                                   1     its BalanceAlpha is 0    balance loss of the critic's experts
//	critic/skipped                                    1     no update skipped        share of its updates skipped
//	critic/moe/<layer>/{maxvio,load}                  1, n  critic without experts   of the critic's experts, as above
//
// Metrics of an [Evaluation], by verl's names. EvalResult.Metrics returns them together with
// the metrics completions/… and rewards/… above, which get the prefix eval_. A Trainer.Eval
// that returns them adds them to the metrics of the step:
//
//	val-core/<source>/mean@<n>                        1     never                    avg@n, which estimates pass@1
//	val-core/<source>/best@<n>/mean                   1     never                    pass@n
//	val-core/<source>/maj@<n>/mean                    1     no Extract               maj@n
//
// TRL does not have train/…, reward_length_correlation, approx_kl, ratio/…,
// clip_ratio/dual_mean, sampling/off_policy_masked, moe/…, critic/…, rewards/<fn>/<status>,
// lm_loss, mtp_loss and skipped. train/num_gen_batches is a metric of verl.
package rl
