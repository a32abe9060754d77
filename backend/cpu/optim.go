package cpu

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// adamWBlock is the number of BF16 moments that are widened at a time.
const adamWBlock = 4 * blockLen

func (b *CPU) adamW(o *backend.AdamW) {
	var j job
	switch o.M.DType {
	case backend.BF16:
		j = (*adamWBF16)(o)
	case backend.F32:
		j = (*adamWF32)(o)
	default:
		j = (*adamWF64)(o)
	}
	b.pool.run(o.W.Len(), 4*adamWBlock, j)
}

func adamWStep(o *backend.AdamW) asm.AdamWStep {
	at := data[float64](&o.At)
	if at[0] < 1 {
		panic(fmt.Errorf("cpu: AdamW: step %v, want 1 or more", at[0]))
	}
	return asm.AdamWStep{
		Step: int(at[0]), LR: at[1] * o.LR, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps,
		WeightDecay: o.WeightDecay, GradScale: at[2],
	}
}

type adamWF32 backend.AdamW

func (o *adamWF32) run(_ *worker, lo, hi int) {
	step := adamWStep((*backend.AdamW)(o))
	w, g, m, v := data[float32](&o.W), data[float32](&o.G), data[float32](&o.M), data[float32](&o.V)
	asm.AdamW(w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi], &step)
}

type adamWBF16 backend.AdamW

func (o *adamWBF16) run(worker *worker, lo, hi int) {
	step := adamWStep((*backend.AdamW)(o))
	w, g, m, v := data[float32](&o.W), data[float32](&o.G), data[uint16](&o.M), data[uint16](&o.V)
	buf := scratch[float32](worker, 2*adamWBlock)
	for ; lo < hi; lo += adamWBlock {
		n := min(adamWBlock, hi-lo)
		m32, v32 := buf[:n], buf[adamWBlock:][:n]
		asm.FromBF16(m32, m[lo:lo+n])
		asm.FromBF16(v32, v[lo:lo+n])
		asm.AdamW(w[lo:lo+n], g[lo:lo+n], m32, v32, &step)
		asm.ToBF16(m[lo:lo+n], m32)
		asm.ToBF16(v[lo:lo+n], v32)
	}
}

type adamWF64 backend.AdamW

func (o *adamWF64) run(_ *worker, lo, hi int) {
	w, g, m, v := data[float64](&o.W), data[float64](&o.G), data[float64](&o.M), data[float64](&o.V)
	step := adamWStep((*backend.AdamW)(o))
	correct1 := 1 / (1 - math.Pow(o.Beta1, float64(step.Step)))
	correct2 := 1 / (1 - math.Pow(o.Beta2, float64(step.Step)))
	for i := lo; i < hi; i++ {
		d := g[i] * step.GradScale
		m[i] = float64(o.Beta1*m[i]) + float64((1-o.Beta1)*d)
		v[i] = float64(o.Beta2*v[i]) + float64((1-o.Beta2)*float64(d*d))
		u := m[i] * correct1 / (math.Sqrt(v[i]*correct2) + o.Eps)
		w[i] -= float64(step.LR * (u + float64(o.WeightDecay*w[i])))
	}
}
