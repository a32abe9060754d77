package cuda

import "github.com/aha-go/aha/backend"

// Do queues op. Operands that do not fit together, were freed or belong to
// another device are programmer errors: Do panics with the op's name. Indices
// that an op reads from memory, and AdamW's step, are checked while the op
// runs: Sync and Download report one that is out of range.
func (b *CUDA) Do(op backend.Op) error {
	if err := op.Check(); err != nil {
		panic(err)
	}
	b.op = op.Name()
	op.Operands(b.visit)
	pin, err := b.pin()
	if err != nil {
		return err
	}
	return b.unpin(pin, b.do(op))
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
		return b.kernel("elementwise", "unary"+suffix(o.Y.DType)).views(&o.Y,
			&o.X).int(int(o.Fn)).double(o.A).double(o.B).each(o.Y.Len())
	case *backend.Binary:
		return b.binary(o)
	case *backend.Select:
		return b.kernel("elementwise", "choose"+suffix(o.Y.DType)).views(&o.Y, &o.Cond, &o.A, &o.B).each(o.Y.Len())
	case *backend.Reduce:
		return b.kernel("reduce", "reduce"+suffix(o.X.DType)).views(&o.Y, &o.X).int(int(o.Fn)).
			rows(o.Y.Len(), o.X.Dim(-1))
	case *backend.Softmax:
		return b.kernel("reduce", "softmax"+suffix(o.X.DType)).views(&o.Y, &o.X).
			rows(o.X.Len()/max(o.X.Dim(-1), 1), o.X.Dim(-1))
	case *backend.TopK:
		return b.kernel("reduce", "topK"+suffix(o.X.DType)).views(&o.Values, &o.Index, &o.X).
			rows(o.X.Shape[0], o.X.Shape[1])
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
		return b.kernel("random",
			"random"+suffix(o.Dst.DType)).views(&o.Dst).u64(o.Seed).u64(o.Stream).int(normal).each((o.Dst.Len() + 3) / 4)
	case *backend.MatMul:
		return b.matMul(o)
	case *backend.LogSumExp:
		return b.kernel("logsumexp", "logSumExp"+suffix(o.X.DType)).
			views(&o.LSE, &o.Entropy, &o.X).double(o.InvTemp).rows(o.X.Shape[0], o.X.Shape[1])
	case *backend.GroupedMatMul:
		return b.groupedMatMul(o)
	case *backend.GroupedOuter:
		return b.groupedOuter(o)
	case *backend.Pack:
		return b.pack(o)
	case *backend.Unpack:
		return b.unpack(o)
	case *backend.LinearLogProb:
		return b.linearLogProb(o)
	case *backend.LinearLogProbGrad:
		return b.linearLogProbGrad(o)
	case *backend.Sample:
		return b.kernel("sample", "sample"+suffix(o.X.DType)).
			views(&o.Token, &o.LogProb, &o.X, &o.Seed, &o.Pos, &o.TopK, &o.Temperature, &o.TopP).
			rows(o.X.Shape[0], o.X.Shape[1])
	case *backend.MoEGate:
		return b.moeGate(o)
	case *backend.MoEGateGrad:
		return b.moeGateGrad(o)
	case *backend.MoERoute:
		return b.kernel("moe_route", "moeRoute").
			views(&o.Offsets, &o.Perm, &o.Inverse, &o.Index).index().blocks(o.Offsets.Shape[0])
	case *backend.MoEDispatch:
		k := o.Y.Shape[0] / max(o.X.Shape[0], 1)
		return b.kernel("moe_route", "moeDispatch").views(&o.Y, &o.X, &o.Perm).int(k).index().each(o.Y.Len())
	case *backend.MoECombine:
		return b.kernel("moe_route", "moeCombine"+suffix(o.X.DType)).
			views(&o.Y, &o.X, &o.Weight, &o.Inverse).index().each(o.Y.Len())
	case *backend.MoECombineGrad:
		return b.kernel("moe_route", "moeCombineGrad"+suffix(o.X.DType)).
			views(&o.DX, &o.DWeight, &o.DY, &o.X, &o.Weight, &o.Inverse).index().
			rows(o.Inverse.Len(), o.DY.Shape[1])
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
	case *backend.SequenceBalance:
		return b.sequenceBalance(o)
	case *backend.SequenceBalanceGrad:
		return b.sequenceBalanceGrad(o)
	case *backend.AttentionGrad:
		return b.attentionGrad(o)
	}
	return backend.Unsupported(b, op, "")
}
