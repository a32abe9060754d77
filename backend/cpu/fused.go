package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// fused is the state that the fused ops of one dtype reuse from call to call,
// so that they allocate nothing in the steady state.
type fused[T number] struct {
	rmsNormGrad       rmsNormGrad[T]
	attention         attention[T]
	attentionGrad     attentionGrad[T]
	sequenceBalance   sequenceBalance[T]
	linearLogProb     linearLogProb[T]
	linearLogProbGrad linearLogProbGrad[T]
}

// doFused executes a fused op.
func (b *CPU) doFused(op backend.Op) error {
	switch o := op.(type) {
	case *backend.RMSNorm:
		return kernel(b, o.X.DType, (*rmsNorm[float32])(o), (*rmsNorm[float64])(o), o.X.Shape[0], rowGrain(o.X.Shape[1]))
	case *backend.RoPE:
		return kernel(b, o.X.DType, (*rope[float32])(o), (*rope[float64])(o), o.X.Shape[0],
			rowGrain(o.X.Shape[1]*o.X.Shape[2]))
	case *backend.MLAKeys:
		return kernel(b, o.K.DType, (*mlaKeys[float32])(o), (*mlaKeys[float64])(o), o.Up.Shape[0],
			rowGrain(o.Up.Shape[1]*o.Up.Shape[2]))
	case *backend.MLAKeysGrad:
		return kernel(b, o.DK.DType, (*mlaKeysGrad[float32])(o), (*mlaKeysGrad[float64])(o), o.DUp.Shape[0],
			rowGrain(o.DUp.Shape[1]*o.DUp.Shape[2]))
	case *backend.SwiGLU:
		return kernel(b, o.Y.DType, (*swiGLU[float32])(o), (*swiGLU[float64])(o), o.Y.Shape[0], rowGrain(o.Y.Shape[1]))
	case *backend.SwiGLUGrad:
		return kernel(b, o.DY.DType, (*swiGLUGrad[float32])(o), (*swiGLUGrad[float64])(o), o.DY.Shape[0],
			rowGrain(o.DY.Shape[1]))
	case *backend.Attention:
		return b.staged(o.Q.DType, op)
	case *backend.MoEGate:
		return kernel(b, o.Logits.DType, (*moeGate[float32])(o), (*moeGate[float64])(o), o.Logits.Shape[0],
			rowGrain(16*o.Logits.Shape[1]))
	case *backend.MoEWeights:
		return kernel(b, o.Scores.DType, (*moeWeights[float32])(o), (*moeWeights[float64])(o), o.Scores.Shape[0],
			rowGrain(4*o.Index.Shape[1]))
	case *backend.MoEGateGrad:
		return kernel(b, o.Scores.DType, (*moeGateGrad[float32])(o), (*moeGateGrad[float64])(o), o.Scores.Shape[0],
			rowGrain(4*o.Scores.Shape[1]))
	case *backend.MoERoute:
		route(o)
		return nil
	case *backend.MoEDispatch:
		if o.Y.DType == backend.BF16 {
			b.pool.run(o.Y.Shape[0], rowGrain(o.Y.Shape[1]), (*moeDispatch[uint16])(o))
			return nil
		}
		return kernel(b, o.X.DType, (*moeDispatch[float32])(o), (*moeDispatch[float64])(o), o.Y.Shape[0],
			rowGrain(o.Y.Shape[1]))
	case *backend.MoECombine:
		return kernel(b, o.Y.DType, (*moeCombine[float32])(o), (*moeCombine[float64])(o), o.Y.Shape[0],
			rowGrain(o.Y.Shape[1]*o.Inverse.Shape[1]))
	case *backend.MoECombineGrad:
		return kernel(b, o.DY.DType, (*moeCombineGrad[float32])(o), (*moeCombineGrad[float64])(o), o.DY.Shape[0],
			rowGrain(o.DY.Shape[1]*o.Inverse.Shape[1]))
	case *backend.LogSumExp:
		return kernel(b, o.X.DType, (*logSumExp[float32])(o), (*logSumExp[float64])(o), o.X.Shape[0],
			rowGrain(4*o.X.Shape[1]))
	case *backend.Sample:
		return kernel(b, o.X.DType, (*sample[float32])(o), (*sample[float64])(o), o.X.Shape[0], rowGrain(4*o.X.Shape[1]))
	case *backend.RMSNormGrad:
		return b.staged(o.X.DType, op)
	case *backend.AttentionGrad:
		return b.staged(o.Q.DType, op)
	case *backend.SequenceBalance:
		return b.staged(o.Scores.DType, op)
	case *backend.SequenceBalanceGrad:
		return b.staged(o.Scores.DType, op)
	case *backend.LinearLogProb:
		if o.W.Format != backend.Native {
			return b.formatLogProb(o)
		}
		return b.staged(o.X.DType, op)
	case *backend.LinearLogProbGrad:
		if o.W.Format != backend.Native {
			return b.formatLogProbGrad(o)
		}
		return b.staged(o.X.DType, op)
	}
	return backend.Unsupported(b, op, "")
}

// staged executes an op that consists of several jobs.
func (b *CPU) staged(dt backend.DType, op backend.Op) error {
	if dt == backend.F64 {
		b.f64.fused.do(b.pool, op)
	} else {
		b.f32.fused.do(b.pool, op)
	}
	return nil
}

func (f *fused[T]) do(p *pool, op backend.Op) {
	switch o := op.(type) {
	case *backend.RMSNormGrad:
		f.rmsNormGrad.do(p, o)
	case *backend.Attention:
		f.attention.do(p, o)
	case *backend.AttentionGrad:
		f.attentionGrad.do(p, o)
	case *backend.SequenceBalance:
		f.sequenceBalance.do(p, o)
	case *backend.SequenceBalanceGrad:
		(*sequenceBalanceGrad[T])(o).do(p)
	case *backend.LinearLogProb:
		f.linearLogProb.do(p, o)
	case *backend.LinearLogProbGrad:
		f.linearLogProbGrad.do(p, o)
	}
}

// grow returns n elements of undefined content, in the memory of s if that is
// large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// row returns the index v as an int. It panics unless 0 ≤ v < n.
func row(op, what string, v int32, n int) int {
	if v < 0 || int(v) >= n {
		panic(fmt.Errorf("cpu: %s: %s %d of %d", op, what, v, n))
	}
	return int(v)
}
