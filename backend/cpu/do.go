package cpu

import "github.com/aha-go/aha/backend"

// Do runs op to completion. Operands that do not fit together are programmer
// errors: Do panics with the op's name and the shapes.
func (b *CPU) Do(op backend.Op) error {
	if err := op.Check(); err != nil {
		panic(err)
	}
	switch o := op.(type) {
	case *backend.Copy:
		b.pool.run(o.Dst.Len(), elements, copyJob(o))
	case *backend.Fill:
		b.pool.run(o.Dst.Len(), elements, (*fill)(o))
	case *backend.Iota:
		b.pool.run(o.Dst.Len(), elements, (*iota32)(o))
	case *backend.Unary:
		return kernel(b, o.Y.DType, (*unary[float32])(o), (*unary[float64])(o), o.Y.Len(), elements)
	case *backend.Binary:
		return b.binary(o)
	case *backend.Select:
		return kernel(b, o.Y.DType, (*selection[float32])(o), (*selection[float64])(o), o.Y.Len(), elements)
	case *backend.Reduce:
		b.reduce(o)
	case *backend.Softmax:
		return kernel(b, o.X.DType, (*softmax[float32])(o), (*softmax[float64])(o), o.X.Len()/max(o.X.Dim(-1), 1),
			rowGrain(o.X.Dim(-1)))
	case *backend.TopK:
		return kernel(b, o.X.DType, (*topK[float32])(o), (*topK[float64])(o), o.X.Shape[0], rowGrain(o.X.Shape[1]))
	case *backend.Gather:
		b.pool.run(o.Y.Shape[0], rowGrain(o.Y.Shape[1]), gatherJob(o))
	case *backend.Scatter:
		return b.scatter(o)
	case *backend.GatherLast:
		return kernel(b, o.Y.DType, (*gatherLast[float32])(o), (*gatherLast[float64])(o), o.Y.Shape[0],
			rowGrain(o.Y.Shape[1]))
	case *backend.ScatterLast:
		return kernel(b, o.Y.DType, (*scatterLast[float32])(o), (*scatterLast[float64])(o), o.X.Shape[0],
			rowGrain(o.X.Shape[1]))
	case *backend.MatMul:
		if o.B.Format != backend.Native {
			return b.formatMatMul(o)
		}
		b.matMul(o)
	case *backend.GroupedMatMul:
		if o.B.Format != backend.Native {
			return b.formatGroupedMatMul(o)
		}
		b.groupedMatMul(o)
	case *backend.GroupedOuter:
		if o.Format != backend.Native {
			return b.formatGroupedOuter(o)
		}
		b.groupedOuter(o)
	case *backend.Pack:
		return b.packMatrices(o)
	case *backend.Unpack:
		return b.unpackMatrices(o)
	case *backend.Random:
		return kernel(b, o.Dst.DType, (*random[float32])(o), (*random[float64])(o), ceil(o.Dst.Len(), 4), elements/32)
	case *backend.AdamW:
		b.adamW(o)
	default:
		return b.doFused(op)
	}
	return nil
}

// kernel runs the job for dtype dt over [0, n).
func kernel(b *CPU, dt backend.DType, f32, f64 job, n, grain int) error {
	if dt == backend.F64 {
		b.pool.run(n, grain, f64)
	} else {
		b.pool.run(n, grain, f32)
	}
	return nil
}

// rowGrain returns how many rows of the given width to hand to a thread at
// once, so that the cost of handing them over is small.
func rowGrain(width int) int { return max(1, 8192/max(width, 1)) }
