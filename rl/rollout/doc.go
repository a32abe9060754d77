// Package rollout samples completions of prompts: what reinforcement learning
// learns from, what an evaluation counts, and what rejection sampling chooses
// from. A [Sampler] writes them; [Generator] is the one that asks a
// model.Generator for one completion after the other, and [Complete] has any Sampler write
// and checks what it wrote. Where Generator.Trained is set, another model draws for the
// trained one in another precision.
package rollout
