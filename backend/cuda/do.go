package cuda

import "github.com/aha-go/aha/backend"

// Do queues op. Operands that contradict each other are programmer errors and panic
// with the op's name and shapes. Indices that an op reads from memory are checked
// while it runs: Sync and Download report one that is out of range.
func (b *CUDA) Do(op backend.Op) error {
	if err := op.Check(); err != nil {
		panic(err)
	}
	return b.pinned(func() error { return b.do(op) })
}

func (b *CUDA) do(op backend.Op) error {
	switch o := op.(type) {
	case *backend.Copy:
		return b.kernel("copy", "copy").views(&o.Dst, &o.Src).each(o.Dst.Len())
	case *backend.Fill:
		return b.kernel("elementwise", "fill").views(&o.Dst).double(o.Value).each(o.Dst.Len())
	case *backend.Iota:
		return b.kernel("elementwise", "iota").views(&o.Dst).each(o.Dst.Len())
	case *backend.Unary:
		return b.kernel("elementwise", "unary"+suffix(o.Y.DType)).views(&o.Y, &o.X).int(int(o.Fn)).double(o.A).double(o.B).each(o.Y.Len())
	case *backend.Binary:
		return b.binary(o)
	case *backend.Select:
		return b.kernel("elementwise", "choose"+suffix(o.Y.DType)).views(&o.Y, &o.Cond, &o.A, &o.B).each(o.Y.Len())
	case *backend.Reduce:
		return b.kernel("reduce", "reduce"+suffix(o.X.DType)).views(&o.Y, &o.X).int(int(o.Fn)).blocks(o.Y.Len())
	case *backend.Softmax:
		return b.kernel("reduce", "softmax"+suffix(o.X.DType)).views(&o.Y, &o.X).blocks(o.X.Len() / max(o.X.Dim(-1), 1))
	case *backend.Gather:
		return b.kernel("gather", "gather").views(&o.Y, &o.X, &o.Index).index().each(o.Y.Len())
	case *backend.Scatter:
		return b.scatter(o)
	case *backend.GatherLast:
		return b.kernel("gather", "gatherLast"+suffix(o.Y.DType)).views(&o.Y, &o.X, &o.Index).index().each(o.Y.Len())
	case *backend.ScatterLast:
		return b.kernel("gather", "scatterLast"+suffix(o.Y.DType)).views(&o.Y, &o.X, &o.Index).index().each(o.Y.Shape[0])
	case *backend.Random:
		normal := 0
		if o.Distribution == backend.Normal {
			normal = 1
		}
		return b.kernel("random", "random"+suffix(o.Dst.DType)).views(&o.Dst).u64(o.Seed).u64(o.Stream).int(normal).each((o.Dst.Len() + 3) / 4)
	case *backend.MatMul:
		return b.matMul(o)
	case *backend.AdamW:
		return b.adamW(o)
	case *backend.RMSNorm:
		return b.rmsNorm(o)
	case *backend.RoPE:
		return b.rope(o)
	case *backend.MLAKeys:
		return b.mlaKeys(o)
	case *backend.MLAKeysGrad:
		return b.mlaKeysGrad(o)
	case *backend.SwiGLU:
		return b.kernel("swiglu", "swiGLU"+suffix(o.Y.DType)).views(&o.Y, &o.Gate, &o.Up).each(o.Y.Len())
	case *backend.SwiGLUGrad:
		return b.kernel("swiglu", "swiGLUGrad"+suffix(o.DY.DType)).
			views(&o.DGate, &o.DUp, &o.DY, &o.Gate, &o.Up).each(o.DY.Len())
	case *backend.Attention:
		return b.attention(o)
	case *backend.RMSNormGrad:
		return b.rmsNormGrad(o)
	case *backend.AttentionGrad:
		return b.attentionGrad(o)
	}
	return backend.Unsupported(b, op, "")
}
