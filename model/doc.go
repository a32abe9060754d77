// Package model assembles attention and mixture-of-experts blocks to language
// models of the DeepSeek-V3 family, of Qwen and of Llama, under the names of
// their Hugging Face checkpoints, and generates text with them.
//
// [New] draws a model of a [Config], of which [DeepSeekV3], [Tiny] and others are presets;
// [Load] reads one from a folder of transformers or a GGUF file, and [Save] and [SaveGGUF]
// write it. [Model.Forward] maps a [Batch] to hidden states, which tensor.Logits and
// tensor.LogProbs score by [Model.Head]. A [Generator] decodes many requests together.
//
// To add a block, implement [Block] and make it by Options.Block; the example of rl.GRPO with
// own blocks trains, resumes and samples a model of such blocks.
package model
