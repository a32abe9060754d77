// Package tensor is automatic differentiation over a backend. A [Tensor] is a value in a
// [Scope], which owns the memory, the tape and the first error of one micro-batch; a [Param]
// is what is trained. Functions here put themselves on the tape where the scope records
// gradients and an operand needs one; [Scope.Backward] walks it.
//
// Shapes are checked: a mistake panics with the function and both shapes. Device failures
// do not panic: the scope keeps the first one, skips what follows, and returns it from
// [Scope.Err], [Scope.Backward] and the downloads.
//
// Activations are F32 or BF16, or F64 for exact tests. Functions keep the dtype of
// their operand; what reduces BF16 to a statistic (sums, log-probabilities, losses) gives
// F32.
//
// # Elementwise
//
// With broadcasting of trailing dimensions: [Add], [Sub], [Mul], [Div], [Minimum], [Maximum].
// Of one tensor: [Scale], [Neg], [Affine], [Clamp], [Exp], [Log], [Sqrt], [Abs]. Activations:
// [Sigmoid], [LogSigmoid], [Tanh], [ReLU], [GELU], [GELUTanh], [SwiGLU]. At a kink the
// gradient is PyTorch's, but for Minimum and Maximum, where a tie gives it to the first
// operand, and Clamp, where it passes at the bounds.
//
// # Reductions and rows
//
// [Sum] and [Mean] of all elements; [SumLast], [MaxLast], [LogSumExp], [Softmax] and
// [LogSoftmax] over the last dimension, [LogSoftmaxAt] at some of it; [SegmentSum] and
// [SegmentMean] of ragged groups of rows; [RMSNorm].
//
// # Shape and choice
//
// Without a copy: [Tensor.Reshape], [Tensor.Permute], [Tensor.T], [Tensor.Slice],
// [Tensor.Split], [Tensor.Expand]. With one: [Concat], [Tensor.Contiguous], [Tensor.Cast].
// Rows by index are [GatherRows] and [Embedding], columns [GatherLast] and [TopK].
//
// # Products
//
// [MatMul] multiplies tensors, [Linear] by a parameter (with bias and a [LowRank] adapter;
// see [NewLinear]), [GroupedLinear] by one matrix a group.
//
// # Attention
//
// [Attention], [RoPE], [MLAKeys], and [CacheMLAKeys] to a cache.
//
// # Experts
//
// [Gate], [GateAt] given experts, [Route], [Dispatch], [GroupedLinear], [Combine],
// [SequenceBalance], and [Routing.Count] to a [Counter].
//
// # Heads and losses
//
// [Logits] and [CrossEntropy]; [LogProbs] has log-probabilities and entropies without
// the logits in memory. [Sample] draws tokens.
//
// # Parameters
//
// [Params], of [NewParams], creates the parameters of a model under one naming scheme:
// matrices, stacks, tables, gains, biases, heads. [NewParam] and [NewParamFor] make one alone.
// [Param.Pack] keeps one in a packed format, [Repack] brings all up to date, and a
// [RowWriter] fills them from a file. [NotFinite] names the first that is not finite.
//
// # The tape
//
// A Scope is made by [NewScope]; [Upload] and [Download] are its way to the host and back.
// [Func] is a differentiable function of one's own, [Recompute] trades time for memory,
// [Detach] makes a constant. [Scope.Do], [Scope.Copy] and [Scope.Scatter] are off the
// tape: they are for optimizers and caches. Package gradtest checks gradients.
package tensor
