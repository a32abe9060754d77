package backend

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// OpCount is the number of times that ops of one name fell back.
type OpCount struct {
	Name  string
	Count int
}

// Fallbacker is a backend that runs the ops that it lacks on a second backend.
type Fallbacker struct {
	Decorator
	second Backend
	counts map[string]int
}

// Fallback returns a backend that runs ops on b, and on cpu the ops that b lacks: their
// operands are copied to cpu and the results back, which is slow but complete. The first
// fallback of each op name is logged as a warning, and Counts lists all of them.
//
// A fused op falls back as a whole. To have b decompose it, do not use Fallback.
func Fallback(b, cpu Backend) *Fallbacker {
	return &Fallbacker{Decorator: Decorator{b}, second: cpu, counts: map[string]int{}}
}

// Counts lists the ops that ran on the second backend by descending count, then by name.
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

// Do runs op on the first backend, or on the second if the first lacks it.
func (f *Fallbacker) Do(op Op) error {
	err := f.Backend.Do(op)
	if err == nil || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if m := packedOperand(op); m != "" {
		return fmt.Errorf("backend: Fallback: %s has %s in the packed layout of another backend: %w", op.Name(), m, err)
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

// packedOperand returns the name of op's packed matrix, whose layout only its own backend
// knows, or "" if it has none.
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

// span is the part of one buffer that an op touches, in bytes, and the copy of it on the
// second backend.
type span struct {
	lo, hi  int
	written bool
	copied  Buffer
}

// spanAlign is the alignment of a span's start in bytes, a multiple of every dtype's
// size.
const spanAlign = 64

// move runs op on the second backend with copies of its operands. Operands that share a
// buffer share its copy, so aliasing is kept.
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

// doMoved runs op with its operands in the copies, and then restores them.
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
