// Package backend defines what a compute device must do for aha: hold memory
// and execute ops. An op is a plain struct that names its operands; a backend
// is a handful of methods. Everything above this package (tensors, models,
// trainers) speaks to devices only through it.
//
// Drivers register themselves by blank import, as database drivers do:
//
//	import _ "github.com/aha-go/aha/backend/cpu"
//
//	b, err := backend.Open("cpu")
//
// # Ops
//
// The doc comment of an op is its definition: the formula, the shapes, the dtypes and what
// a degenerate operand gives. [Do] runs one; an op that a backend lacks runs by its
// decomposition into others, where it has one. Package backendtest checks a backend
// against these definitions.
//
//   - elementwise: [Copy], [Fill], [Iota], [Unary], [Binary], [Select]
//   - reductions and rows: [Reduce], [Softmax], [LogSumExp], [TopK], [RMSNorm], [SwiGLU]
//   - moving rows and columns: [Gather], [Scatter], [GatherLast], [ScatterLast]
//   - products: [MatMul], [GroupedMatMul], [GroupedOuter], [Pack], [Unpack]
//   - attention: [RoPE], [MLAKeys], [Attention]
//   - mixtures of experts: [MoEGate], [MoEWeights], [MoERoute], [MoEDispatch], [MoECombine], [SequenceBalance]
//   - the output head: [LinearLogProb], [Sample]
//   - parameters: [Random], [AdamW]
//
// Operands are [View] values, shapes and strides over a [Buffer]; weights are a [Matrix] in a
// [Format].
package backend
