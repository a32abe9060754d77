// Package attention has the attention mechanisms of the DeepSeek family and
// of its distilled students: multi-head latent attention, naive and
// weight-absorbed ([MLA]), and grouped-query attention ([GQA]), with rotary embedding
// and YaRN ([NewAngles], [RoPEScaling]).
//
// A layer takes the rows x [N, D] of packed sequences, and [Rows] say where each row
// stands: [Pack] places whole sequences, for training and scoring, [Continue] tokens whose
// keys and values are in a [Cache], for prompts and decoding. Both ways give a token
// the same bits on the CPU.
//
// What a Cache of [MLA] holds is decided by [MLA.NewCache]: the latent and the rotated key in
// the absorbed form, the keys and values of all heads in the naive one. [MLA.Forward]
// writes them there.
package attention
