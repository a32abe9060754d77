// Package model assembles attention and mixture-of-experts blocks into language models of
// the DeepSeek-V3 family, Qwen and Llama, with the parameter names of their Hugging Face
// checkpoints, and generates text with them.
//
// [New] makes a model with random weights from a [Config]; [DeepSeekV3], [Tiny] and others
// are preset configs. [Load] reads a model from a folder in transformers' format or a GGUF
// file, and [Save] and [SaveGGUF] write one. [Model.Forward] maps a [Batch] to hidden
// states, from which tensor.Logits and tensor.LogProbs compute scores with [Model.Head]. A
// [Generator] decodes many requests together.
//
// To add a block, implement [Block] and make it in Options.Block; an example of rl.GRPO
// trains, resumes and samples a model of such blocks.
package model
