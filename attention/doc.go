// Package attention has the attention mechanisms of the DeepSeek family and of its
// distilled students: multi-head latent attention in its naive and its weight-absorbed form
// ([MLA]), grouped-query attention ([GQA]), and rotary embeddings with YaRN ([NewAngles],
// [RoPEScaling]).
//
// A layer takes the rows x [N, D] of packed sequences. [Rows] give the position of each row
// and the keys that it attends to: [Pack] makes them for whole sequences, in training and
// scoring; [Continue] makes them for tokens whose keys and values go to a [Cache], in
// prefill and decoding. On the CPU a token gets the same bits either way.
//
// [MLA.NewCache] decides what a Cache of [MLA] holds: in the absorbed form the latent and
// the rotated key, in the naive form the keys and values of all heads. [MLA.Forward] writes
// them.
package attention
