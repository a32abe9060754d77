// Package moe is DeepSeekMoE: fine-grained experts chosen by a gate with
// auxiliary-loss-free load balancing (a selection bias moved by the sign rule), shared
// experts, V2's softmax variants, and the sequence-wise balance loss as a small complement.
// No token is ever dropped.
//
// [New] makes a layer from a [Gate], [Experts] and a shared [FFN]. A forward routes each
// row of x [N, D] to K of E experts, multiplies the rows of each expert by its matrices,
// and sums the weighted outputs in ascending order of experts. In training the gate counts
// the load on the device; after each optimizer step, [Gate.Load], [Gate.UpdateBias] and
// [Gate.ResetLoad] move the selection bias. [Gate.Choose] sets the experts of a forward,
// for routing replay, or records those that the gate chooses.
package moe
