// Package rl trains language models by reinforcement learning from verifiable
// rewards: GRPO (DeepSeekMath, arXiv 2402.03300) as DeepSeek-R1-Zero uses it,
// with the losses that grew out of it (DAPO, Dr.GRPO, BNPO and others), PPO with a
// [Critic], and evaluation by pass@k and majority vote; and from preferences: [DPO]. It
// trains reward models too, [OutcomeModel] and [ProcessModel]. Completions come from package rollout.
//
// One step of [GRPO] reads top to bottom:
//
//	prompts     Data(step)                        P prompts, and further ones by DynamicSampling
//	rollout     rollout.Sampler                   G completions each, with their log-probabilities
//	rewards     reward.Suite                      one verdict a completion and function
//	advantages  Estimator                         GRPO: A = (r − mean) / std in the group of a prompt
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
// Trainer.Dir also receives, for those who watch a run, samples.jsonl (completions of
// each step, see [GRPO].LogGroups), alarms.jsonl and preflight.txt.
//
// # Rollouts in another precision
//
// A [rollout.Generator] of a model in another precision, form of MLA or format, such as
// backend.Q8, draws for the trained one where its field Trained is that: it takes the
// trained weights before it draws, in each step. Log-probabilities then differ, as
// sampling/… shows, and gates send some tokens to other experts, which with a mixture of
// experts is most of the difference. With model.GeneratorOptions.Experts the rollout
// writes down the experts of each token, 2 bytes each, and moe/router_mismatch counts how
// many gates of the trained model choose others; [GRPO.RouterReplay] routes the updates to
// those of the rollout, so that what remains is rounding. Under RouterReplay the metric is of
// what the gates would choose. [OffPolicy] corrects for what remains, and for updates since
// the rollout.
//
// # Losses
//
// A loss is a surrogate of a token, Objective.Surrogate and Level, and the mean over
// tokens, LossType. Its names elsewhere, the fields of [GRPO] and its Objective to set
// where they are not the defaults, and whose code the tests compare it with, values and
// gradients to 1e-9 in float64. In TRL names are values of loss_type where nothing else
// is said, in verl of policy_loss.loss_mode.
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
// Advantages, to 1e-9 too. Names in TRL are of the fields of GRPOConfig and RLOOConfig, in
// verl values of algorithm.adv_estimator.
//
//	advantage          arXiv       name there                       fields                               tested against
//	group              2402.03300  TRL scale_rewards, verl grpo     Scaling group, batch, none           TRL
//	process            2402.03300                                   Process                              by hand
//	leave one out      2402.14740  TRL RLOOTrainer, verl rloo       Estimator rloo                       TRL, verl
//	its normalised     2402.14740  TRL normalize_advantages         Estimator rloo, Scaling batch        TRL
//	REINFORCE++        2501.03262  verl reinforce_plus_plus         Estimator reinforce_plus_plus        verl
//	its baseline       2501.03262  verl reinforce_plus_plus_baseline Estimator reinforce_plus_plus_baseline  verl
//	GAE: PPO           1707.06347, verl gae (TRL 1.16 has none)     Critic                               verl
//	                   1506.02438
//	dynamic sampling   2503.14476  verl filter_groups.enable        DynamicSampling                      by hand
//	GDPO               2601.05242  TRL multi_objective_aggregation  Aggregation normalize_then_sum       TRL
//	KL in the reward               TRL RLOOTrainer's beta, verl     RewardKL                             TRL, verl
//	                               use_kl_in_reward
//
// Corrections of rollouts that another model has drawn, fields of [OffPolicy] and in TRL of
// GRPOConfig, weights, losses and gradients to 1e-9 too.
//
//	correction         arXiv       name there                       fields                               tested against
//	truncated, masked              TRL vllm_importance_sampling_mode Correction                          TRL
//	its bounds                     TRL ..._clip_max, ..._clip_min   Cap, Min                             TRL
//	off-policy mask    2512.02556  TRL off_policy_mask_threshold    MaskThreshold                        TRL
//
// Losses of preferences, [DPO] and its fields:
//
//	loss                   arXiv       name                   fields                        tested against
//	DPO                    2305.18290  sigmoid                DPO{}                         TRL DPOTrainer
//	conservative DPO       2305.18290  label_smoothing        LabelSmoothing                TRL CPOTrainer
//	robust DPO             2403.00409  robust                 PreferenceRobust              TRL DPOTrainer
//	IPO                    2310.12036  ipo                    PreferenceIPO                 TRL DPOTrainer
//	DPO by mean log-ratios 2411.15124  sigmoid_norm           PreferenceSigmoidNorm         TRL DPOTrainer
//	mixed reference model  2404.09656  ref_model_mixup_alpha  RefSync, RefMix               TRL SyncRefModelCallback
//
// Losses of reward models, [OutcomeTraining] and [ProcessTraining], on models that
// transformers has made; a trained model is a reward by Func, of whole completions, and by
// ProcessModel.Process, of their steps:
//
//	loss                   arXiv       name                        fields              tested against
//	Bradley–Terry          2203.02155  RewardTrainer               OutcomeTraining     TRL RewardTrainer
//	with a margin          2307.09288  margin                      Pair.Margin         TRL RewardTrainer
//	centred                2312.09244  center_rewards_coefficient  CenterRewards       TRL RewardTrainer
//	step by step           2305.20050  PRMTrainer                  ProcessTraining     transformers, TRL PRMTrainer
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
//	lm_loss                                           nats  GRPO, DPO, reward models cross-entropy of the next token
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
//	train/num_gen_batches                             n     DynamicSampling is 0     batches of prompts in the step
//	train/dropped_groups                              1     DynamicSampling is 0     share of groups not learned from
//	reward_length_correlation                         1     no spread                of reward and length within groups
//	policy_loss                                       1     no update                loss without entropy and extra terms
//	entropy                                           nats  no update                mean over tokens
//	kl                                                nats  no reference, no update  Divergence, mean over tokens
//	approx_kl                                         nats  no update                k3(π_old ‖ π_θ), mean over tokens
//	clip_ratio/{low,high,region}_mean                 1     not clip, no update      share of tokens clipped
//	clip_ratio/low_min                                1     not clip, no update      least share in a completion
//	clip_ratio/high_max                               1     not clip, no update      greatest share in a completion
//	clip_ratio/dual_mean                              1     DualClip is 0, no update share bounded by DualClip
//	cispo_clip_ratio                                  1     not cispo, no update     share of tokens clipped
//	ratio/{min,mean,max}                              1     no update                π_θ/π_old of tokens
//	sampling/sampling_logp_difference/{mean,max}      nats  never                    |log π_θ − log μ|, first update
//	sampling/importance_sampling_ratio/{min,mean,max} 1     never                    π_θ/μ or OffPolicy's w, first update
//	sampling/off_policy_masked                        1     no MaskThreshold, update share of tokens left out by it
//	moe/router_mismatch                               1     no record, no update     share of other experts, first update
//
// Of a step of [DPO], as means over its pairs, and of DPO.Evaluate, after eval_ and with
// loss; logps are sums over the tokens of a completion, and entropy is a mean over those
// of both:
//
//	rewards/chosen                                    1     never                    β·log(π_θ/π_ref) of the chosen ones
//	rewards/rejected                                  1     never                    of the rejected ones
//	rewards/accuracies                                1     never                    share with the greater one chosen
//	rewards/margins                                   1     never                    chosen − rejected
//	logps/chosen                                      nats  never                    log π_θ of the chosen completions
//	logps/rejected                                    nats  never                    of the rejected ones
//
// μ is the distribution that the rollout was drawn from: π_old, but under
// OffPolicy.Correction, where w is of tokens or of completions.
//
// Of a step of [OutcomeTraining], over its pairs, and of its Evaluate, after eval_ and with
// loss; and of [ProcessTraining], which has accuracy alone:
//
//	min_reward                                        1     never                    least score
//	mean_reward                                       1     never                    mean score
//	max_reward                                        1     never                    greatest score
//	accuracy                                          1     never                    share of pairs, or steps, told right
//	margin                                            1     never                    mean of chosen − rejected
//
// With RewardKL, kl is the mean of log μ − log π_ref over all tokens of the rollout.
// Shares of clipped tokens are of completions at LevelSequence and LevelTrajectory,
// whose tokens have one ratio.
//
// Of its Critic, by verl's names:
//
//	critic/vf_loss                                    1     no Critic, no update     value loss, without Coef
//	critic/vf_clipfrac                                1     no Critic, no update     share of tokens clipped
//	critic/vpred_mean                                 1     no Critic, no update     values during the updates
//	critic/vf_explained_var                           1     no Critic, empty loss    1 − Var(R − V)/Var(R)
//	critic/values/{mean,min,max}                      1     no Critic, empty loss    values before the updates
//	critic/returns/{mean,min,max}                     1     no Critic, empty loss    returns
//	critic/advantages/{mean,min,max}                  1     no Critic, empty loss    advantages, whitened
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
// train/…, reward_length_correlation, approx_kl, ratio/…, clip_ratio/dual_mean,
// sampling/off_policy_masked, moe/…, critic/…, rewards/<fn>/<status>, lm_loss, mtp_loss
// and skipped are not TRL's; train/num_gen_batches is verl's.
package rl
