// Package lora trains low-rank adapters (LoRA, Hu et al. 2021) next to the frozen weights
// of a model, merges them into the weights, and reads and writes them in PEFT's format.
//
//	a, err := lora.Attach(m, lora.Config{Rank: 16, Alpha: 32, Targets: []string{"q_proj", "v_proj"}})
//	…  // train m by train.Trainer or rl.GRPO
//	err = a.Save("out/adapter", "meta-llama/Llama-3.2-1B")
//
// Adapters can also be trained on a model loaded with Options.Packed (QLoRA, Dettmers et
// al. 2023): matrix products use the packed format, and gradients pass through the unpacked
// values, one matrix at a time. The embedding and the head must not be packed, so
// Options.Tables must be Native.
package lora
