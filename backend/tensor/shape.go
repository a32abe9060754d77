package tensor

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
)

// rearrange returns a tensor that shares t's memory with another view. undo reverses the
// rearrangement; it is applied to the gradient.
func rearrange(op string, t Tensor, view backend.View, undo func(dy backend.View) backend.View) Tensor {
	s := scopeOf(op, t)
	y := t
	y.view, y.val = view, nil
	if s.needs(t) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) { s.share(t, dy[0], undo(dy[0].View)) })
	}
	return y
}

// Reshape returns t with another shape, without a copy; t must be contiguous.
func (t Tensor) Reshape(shape ...int) Tensor {
	s := scopeOf("Reshape", t)
	y := t
	y.view, y.val = t.view.Reshape(shape...), nil
	if s.needs(t) {
		old := t.Shape()
		s.track([]*Tensor{&y}, nil, func(dy []gradient) {
			g := s.contiguous(dy[0])
			if s.err == nil {
				g.View = g.View.Reshape(old...)
			}
			s.give(t, g)
		})
	}
	return y
}

// contiguous returns g with a reference of its own, copied if it is not contiguous.
func (s *Scope) contiguous(g gradient) gradient {
	if g.Contiguous() {
		g.st.retain()
		return g
	}
	c := s.newGradient(Tensor{view: g.View})
	s.do(&backend.Copy{Dst: c.View, Src: g.View})
	return c
}

// owned returns g, contiguous and with a reference of its own, in memory that the caller
// may overwrite: it copies g if another gradient reads it too or if it is not contiguous.
func (s *Scope) owned(g gradient) gradient {
	if g.st.refs == 1 {
		return s.contiguous(g)
	}
	c := s.newGradient(Tensor{view: g.View})
	s.do(&backend.Copy{Dst: c.View, Src: g.View})
	return c
}

// orZero returns the gradient g of t, contiguous and with a reference of its own. If t
// has no gradient, it returns zeros.
func (s *Scope) orZero(g gradient, t Tensor) gradient {
	if g.st != nil {
		return s.contiguous(g)
	}
	zero := s.newGradient(t)
	s.do(&backend.Fill{Dst: zero.View})
	return zero
}

// Permute reorders dimensions without a copy: dimension i of the result is
// order[i] of t.
func (t Tensor) Permute(order ...int) Tensor {
	view := t.view.Permute(order...)
	inverse := make([]int, len(order))
	for i, o := range order {
		inverse[o] = i
	}
	return rearrange("Permute", t, view, func(dy backend.View) backend.View { return dy.Permute(inverse...) })
}

// T swaps the last two dimensions without a copy.
func (t Tensor) T() Tensor {
	return rearrange("T", t, t.view.T(), backend.View.T)
}

// Slice returns the part [lo, hi) of dimension axis, without a copy.
func (t Tensor) Slice(axis, lo, hi int) Tensor {
	s := scopeOf("Slice", t)
	y := t
	y.view, y.val = t.view.Slice(axis, lo, hi), nil
	if s.needs(t) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) {
			g := s.newGradient(t)
			s.do(&backend.Fill{Dst: g.View})
			s.do(&backend.Copy{Dst: g.View.Slice(axis, lo, hi), Src: dy[0].View})
			s.give(t, g)
		})
	}
	return y
}

// Split divides dimension axis into consecutive parts of the given sizes, without a copy.
func (t Tensor) Split(axis int, sizes ...int) []Tensor {
	s := scopeOf("Split", t)
	outs := make([]Tensor, len(sizes))
	refs := make([]*Tensor, len(sizes))
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total != t.Dim(axis) {
		panic(fmt.Sprintf("tensor: Split: sizes %v of dimension %d of %v", sizes, axis, t.Shape()))
	}
	at := 0
	for i, n := range sizes {
		outs[i] = t
		outs[i].view, outs[i].val = t.view.Slice(axis, at, at+n), nil
		refs[i] = &outs[i]
		at += n
	}
	if s.needs(t) {
		s.track(refs, nil, func(dy []gradient) {
			g := s.newGradient(t)
			at := 0
			for i, n := range sizes {
				window := g.View.Slice(axis, at, at+n)
				if dy[i].st == nil {
					s.do(&backend.Fill{Dst: window})
				} else {
					s.do(&backend.Copy{Dst: window, Src: dy[i].View})
				}
				at += n
			}
			s.give(t, g)
		})
	}
	return outs
}

// Cast returns t converted to dt: F32 to BF16, rounded to nearest even, or BF16 to F32.
// If t already has dtype dt, it is returned unchanged. The gradient is cast back.
func (t Tensor) Cast(dt backend.DType) Tensor {
	s := scopeOf("Cast", t)
	if t.view.DType == dt {
		return t
	}
	if dt.Compute() != t.view.DType.Compute() {
		panic(fmt.Sprintf("tensor: Cast of %s to %s", t.view, dt))
	}
	y := s.alloc(dt, t.Shape()...)
	s.do(&backend.Copy{Dst: y.view, Src: t.View()})
	if s.needs(t) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) { s.share(t, dy[0], dy[0].View) })
	}
	return y
}

// Contiguous returns t, copied if it is not contiguous.
func (t Tensor) Contiguous() Tensor {
	s := scopeOf("Contiguous", t)
	if t.view.Contiguous() {
		return t
	}
	return s.copied(t)
}

// copied returns a contiguous copy of t.
func (s *Scope) copied(t Tensor) Tensor {
	y := s.allocLike(t.view)
	s.do(&backend.Copy{Dst: y.view, Src: t.View()})
	if s.needs(t) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) { s.share(t, dy[0], dy[0].View) })
	}
	return y
}

// Concat joins tensors along dimension axis.
func Concat(axis int, ts ...Tensor) Tensor {
	s := scopeOf("Concat", ts...)
	shape := ts[0].Shape()
	if axis < 0 {
		axis += len(shape)
	}
	total := 0
	for _, t := range ts {
		if t.view.Rank != len(shape) {
			panic(fmt.Sprintf("tensor: Concat on dimension %d: %v and %v", axis, shape, t.Shape()))
		}
		total += t.Dim(axis)
	}
	shape[axis] = total
	y := s.alloc(ts[0].view.DType, shape...)
	at := 0
	for _, t := range ts {
		want := slices.Clone(shape)
		want[axis] = t.Dim(axis)
		if !slices.Equal(want, t.Shape()) || t.view.DType != y.view.DType {
			panic(fmt.Sprintf("tensor: Concat on dimension %d: %s%v and %s%v", axis, y.DType(), ts[0].Shape(), t.DType(),
				t.Shape()))
		}
		if s.err == nil {
			s.do(&backend.Copy{Dst: y.view.Slice(axis, at, at+t.Dim(axis)), Src: t.View()})
		}
		at += t.Dim(axis)
	}
	if s.needs(ts...) {
		ts = slices.Clone(ts)
		s.track([]*Tensor{&y}, nil, func(dy []gradient) {
			at := 0
			for _, t := range ts {
				s.share(t, dy[0], dy[0].View.Slice(axis, at, at+t.Dim(axis)))
				at += t.Dim(axis)
			}
		})
	}
	return y
}

// Expand repeats t to the given shape without a copy, aligning trailing dimensions. Its
// gradient is the sum over the repeats.
func (t Tensor) Expand(shape ...int) Tensor {
	s := scopeOf("Expand", t)
	y := t
	y.view, y.val = t.view.BroadcastTo(shape...), nil
	if s.needs(t) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) {
			s.give(t, s.unbroadcast(dy[0], t))
		})
	}
	return y
}

// unbroadcast sums dy over the dimensions along which t was repeated. The result has a
// reference of its own.
func (s *Scope) unbroadcast(dy gradient, t Tensor) gradient {
	if s.err != nil {
		return gradient{}
	}
	lead := dy.Rank - t.view.Rank
	// Move the repeated dimensions to the end and sum over them one by one.
	var keep, fold []int
	for i := range dy.Rank {
		if i < lead || t.view.Shape[i-lead] == 1 && dy.Shape[i] != 1 {
			fold = append(fold, i)
		} else {
			keep = append(keep, i)
		}
	}
	if len(fold) == 0 {
		dy.st.retain()
		return dy
	}
	cur := dy.View.Permute(append(slices.Clone(keep), fold...)...)
	var last gradient
	for range fold {
		sum := s.newGradient(Tensor{view: backend.NewView(nil, cur.DType.Compute(), cur.Shape[:cur.Rank-1]...)})
		s.do(&backend.Reduce{Y: sum.View, X: cur, Fn: backend.Sum})
		if last.st != nil {
			last.st.release()
		}
		cur, last = sum.View, sum
	}
	if s.err == nil {
		last.View = last.View.Reshape(t.Shape()...)
	}
	return last
}
