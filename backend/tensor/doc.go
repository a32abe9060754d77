// Package tensor provides tensors with automatic differentiation on a backend. A [Tensor] is
// a value in a [Scope], which owns the memory, the tape and the first error of one
// micro-batch; a [Param] is a trainable tensor. If the scope records gradients and an operand
// needs one, a function puts itself on the tape; [Scope.Backward] walks the tape.
//
// Shapes are checked: a mistake panics with the function and both shapes. Device failures
// do not panic: the scope keeps the first one, skips all later ops, and returns it from
// [Scope.Err], [Scope.Backward] and the downloads.
//
// Activations are F32 or BF16, or F64 for exact tests. Functions keep the dtype of
// their operand, but statistics of BF16 operands (sums, log-probabilities, losses) are F32.
//
// # Elementwise
//
// Functions of two tensors, which broadcast trailing dimensions: [Add], [Sub], [Mul], [Div],
// [Minimum], [Maximum]. Functions of one tensor: [Scale], [Neg], [Affine], [Clamp], [Exp],
// [Log], [Sqrt], [Abs]. Activation functions: [Sigmoid], [LogSigmoid], [Tanh], [ReLU], [GELU],
// [GELUTanh], [SwiGLU]. At a kink the gradient is PyTorch's, with two exceptions: at a tie,
// Minimum and Maximum give it to the first operand, and Clamp passes it on at the bounds.
//
// # Reductions and rows
//
// [Sum] and [Mean] reduce all elements; [SumLast], [MaxLast], [LogSumExp], [Softmax] and
// [LogSoftmax] work on the last dimension, and [LogSoftmaxAt] on chosen elements of it.
// [SegmentSum] and [SegmentMean] reduce groups of rows; [RMSNorm] normalises rows.
//
// # Shape and selection
//
// [Tensor.Reshape], [Tensor.Permute], [Tensor.T], [Tensor.Slice], [Tensor.Split] and
// [Tensor.Expand] do not copy; [Concat], [Tensor.Contiguous] and [Tensor.Cast] do.
// [GatherRows] and [Embedding] select rows by index, [GatherLast] and [TopK] select columns.
//
// # Products
//
// [MatMul] multiplies two tensors. [Linear] multiplies by a parameter (with bias and a
// [LowRank] adapter; see [NewLinear]), [GroupedLinear] by one matrix for each group of rows.
//
// # Attention
//
// [Attention], [RoPE] and [MLAKeys]; [CacheMLAKeys] writes the keys of MLAKeys to a cache.
//
// # Experts
//
// [Gate], [GateAt] for given experts, [Route], [Dispatch], [GroupedLinear], [Combine],
// [SequenceBalance]; [Routing.Count] adds the loads to a [Counter].
//
// # Heads and losses
//
// [Logits] and [CrossEntropy]; [LogProbs] computes log-probabilities and entropies without
// storing the logits. [Sample] draws tokens.
//
// # Parameters
//
// [Params], made by [NewParams], creates the parameters of a model under one naming scheme:
// matrices, stacks, tables, gains, biases, heads. [NewParam] and [NewParamFor] make a single
// one. [Param.Pack] replaces a parameter by its packed form, [Repack] updates packed copies,
// and a [RowWriter] sets parameters from a file. [NotFinite] names the first element that is
// not finite.
//
// # The tape
//
// [NewScope] makes a Scope; [Upload] and [Download] copy tensors from and to the host.
// [Func] is a custom differentiable function, [Recompute] trades time for memory, [Detach]
// makes a constant. [Scope.Do], [Scope.Copy] and [Scope.Scatter] are not on the tape: they
// are for optimizers and caches. Package gradtest checks gradients.
package tensor
