package backendtest

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// broken is a backend with one fault.
type broken struct {
	backend.Backend
	op    string // name of the faulty op
	fault func(b backend.Backend, op backend.Op) error
}

func (b *broken) Name() string { return "broken" }

func (b *broken) Do(op backend.Op) error {
	if op.Name() != b.op {
		return b.Backend.Do(op)
	}
	return b.fault(b.Backend, op)
}

func (b *broken) PackedLen(f backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	return b.Backend.(backend.Packer).PackedLen(f, dt, k, n)
}

// perturb runs op and then changes the last element of its first result that is not
// empty. It adds 1 to integers.
func perturb(b backend.Backend, op backend.Op) error {
	if err := b.Do(op); err != nil {
		return err
	}
	var err error
	done := false
	op.Operands(func(v *backend.View, a backend.Access) {
		if done || err != nil || a == backend.Read || v.Len() == 0 {
			return
		}
		done = true
		last := 0
		v.Each(func(_, at int) { last = at })
		err = poke(b, *v, last, func(x float64) float64 {
			if v.DType == backend.I32 {
				return x + 1
			}
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return 1
			}
			return x + 0.02*(1+math.Abs(x))
		})
	})
	return err
}

// poke changes one element of v's buffer.
func poke(b backend.Backend, v backend.View, at int, fn func(float64) float64) error {
	size := v.DType.Size()
	mem := make([]byte, size)
	if err := b.Download(mem, v.Buf, at*size); err != nil {
		return err
	}
	v.DType.Put(mem, 0, fn(v.DType.Get(mem, 0)))
	return b.Upload(v.Buf, at*size, mem)
}

// spill runs op and writes the element after its first result.
func spill(b backend.Backend, op backend.Op) error {
	if err := b.Do(op); err != nil {
		return err
	}
	var result backend.View
	op.Operands(func(v *backend.View, a backend.Access) {
		if a != backend.Read && !result.Present() {
			result = *v
		}
	})
	_, hi := result.Span()
	return poke(b, result, hi, func(float64) float64 { return 0 })
}

// refuse returns the error of a backend that lacks op.
func refuse(b backend.Backend, op backend.Op) error { return backend.Unsupported(b, op, "") }

// late reports that it lacks op, but only after running it.
func late(b backend.Backend, op backend.Op) error {
	if err := b.Do(op); err != nil {
		return err
	}
	return backend.Unsupported(b, op, "")
}
