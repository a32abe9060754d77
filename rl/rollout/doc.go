// Package rollout samples completions of prompts, for reinforcement learning, evaluation and
// rejection sampling. A [Sampler] generates them; [Generator] is the Sampler that uses a
// model.Generator. [Complete] calls any Sampler and checks its samples. If Generator.Trained
// is set, another model, for example in another precision, generates for the trained model.
package rollout
