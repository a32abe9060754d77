package backend

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// OpCount is how often ops of one name took some path.
type OpCount struct {
	Name  string
	Count int
}

// Fallbacker is a backend that runs what it lacks on a second one.
type Fallbacker struct {
	Decorator
	second Backend
	counts map[string]int
}

// Fallback returns b with every op it lacks run on cpu instead: the operands
// are copied over and the results back, which is slow but complete. The first
// time an op name falls back is logged as a warning, and Counts has them all.
//
// A fused op falls back as a whole. To have it decomposed on b, do without
// Fallback.
func Fallback(b, cpu Backend) *Fallbacker {
	return &Fallbacker{Decorator: Decorator{b}, second: cpu, counts: map[string]int{}}
}

// Counts lists the ops that ran on the second backend by falling count, then by name.
func (f *Fallbacker) Counts() []OpCount {
	list := make([]OpCount, 0, len(f.counts))
	for name, n := range f.counts {
		list = append(list, OpCount{name, n})
	}
	slices.SortFunc(list, func(a, b OpCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Do runs op on the first backend, or on the second where the first lacks it.
func (f *Fallbacker) Do(op Op) error {
	err := f.Backend.Do(op)
	if err == nil || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if m := packedOperand(op); m != "" {
		return fmt.Errorf("backend: Fallback: %s takes %s in a layout of its own: %w", op.Name(), m, err)
	}
	if f.counts[op.Name()] == 0 {
		slog.Warn("backend: op falls back", "op", op.Name(), "from", f.Name(), "to", f.second.Name(), "why", err)
	}
	f.counts[op.Name()]++
	if err := f.move(op); err != nil {
		return fmt.Errorf("backend: Fallback of %s: %w", op.Name(), err)
	}
	return nil
}

// packedOperand names the operand of op whose layout only its own backend
// knows, or is empty.
func packedOperand(op Op) string {
	name, m := "B", (*Matrix)(nil)
	switch o := op.(type) {
	case *Pack:
		name, m = "Dst", &o.Dst
	case *Unpack:
		name, m = "Src", &o.Src
	case *MatMul:
		m = &o.B
	case *GroupedMatMul:
		m = &o.B
	case *LinearLogProb:
		name, m = "W", &o.W
	}
	if m != nil && m.Layout == Packed {
		return name
	}
	return ""
}

// span is the part of one buffer that an op touches, in bytes, and its copy.
type span struct {
	lo, hi  int
	written bool
	copied  Buffer
}

// spanAlign keeps the start of a span on an element of every dtype.
const spanAlign = 64

// move runs op on copies of its operands on the second backend. Operands that
// share a buffer share its copy, so aliasing is kept.
func (f *Fallbacker) move(op Op) (err error) {
	spans := map[Buffer]*span{}
	var order []Buffer
	op.Operands(func(v *View, a Access) {
		s := spans[v.Buf]
		if s == nil {
			s = &span{lo: v.Buf.Bytes()}
			spans[v.Buf] = s
			order = append(order, v.Buf)
		}
		if lo, hi := v.Span(); lo < hi {
			size := v.DType.Size()
			s.lo = min(s.lo, lo*size/spanAlign*spanAlign)
			s.hi = max(s.hi, hi*size)
			s.written = s.written || a != Read
		}
	})
	defer func() {
		for _, s := range spans {
			if s.copied != nil {
				f.second.Free(s.copied)
			}
		}
	}()
	for _, buf := range order {
		s := spans[buf]
		s.hi = max(s.hi, s.lo)
		mem := make([]byte, s.hi-s.lo)
		if err := f.Download(mem, buf, s.lo); err != nil {
			return err
		}
		if s.copied, err = f.second.Alloc(len(mem)); err != nil {
			return err
		}
		if err := f.second.Upload(s.copied, 0, mem); err != nil {
			return err
		}
	}
	if err := f.doMoved(op, spans); err != nil {
		return err
	}
	for _, buf := range order {
		s := spans[buf]
		if !s.written {
			continue
		}
		mem := make([]byte, s.hi-s.lo)
		if err := f.second.Download(mem, s.copied, 0); err != nil {
			return err
		}
		if err := f.Upload(buf, s.lo, mem); err != nil {
			return err
		}
	}
	return nil
}

// doMoved points op at the copies while it runs.
func (f *Fallbacker) doMoved(op Op, spans map[Buffer]*span) error {
	var own []View
	op.Operands(func(v *View, _ Access) {
		own = append(own, *v)
		s := spans[v.Buf]
		v.Buf = s.copied
		v.Offset -= s.lo / v.DType.Size()
		if v.Len() == 0 {
			v.Offset = 0
		}
	})
	defer func() {
		i := 0
		op.Operands(func(v *View, _ Access) { *v = own[i]; i++ })
	}()
	return Do(f.second, op)
}
