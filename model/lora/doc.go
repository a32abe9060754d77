// Package lora trains low-rank adapters (LoRA, Hu et al. 2021) beside the frozen weights
// of a model, merges them into the weights, and reads and writes them as PEFT does.
//
//	a, err := lora.Attach(m, lora.Config{Rank: 16, Alpha: 32, Targets: []string{"q_proj", "v_proj"}})
//	…  // train m by train.Trainer or rl.GRPO
//	err = a.Save("out/adapter", "meta-llama/Llama-3.2-1B")
//
// A model that was loaded with Options.Packed trains adapters too (QLoRA, Dettmers et al.
// 2023): products are in its format, and gradients pass through the unpacked values, one
// matrix at a time. Its embedding and head must not be packed: Options.Tables is Native.
package lora
