// Package backend defines what a compute device must do for aha: hold memory
// and execute ops. An op is a plain struct that names its operands; a backend
// is a handful of methods. Everything above this package (tensors, models,
// trainers) uses devices only through it.
//
// Drivers register themselves by blank import, as database drivers do:
//
//	import _ "github.com/aha-go/aha/backend/cpu"
//
//	b, err := backend.Open("cpu")
//
// # Ops
//
// The doc comment of an op is its definition: the formula, the shapes, the dtypes and the
// result for degenerate operands. [Do] runs an op; if the backend lacks it, Do decomposes it
// into simpler ops, if it has a decomposition. Package backendtest checks a backend against
// these definitions.
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
// Operands are [View] values: a shape and strides over a [Buffer]. Weights are a [Matrix] in
// a [Format].
package backend
