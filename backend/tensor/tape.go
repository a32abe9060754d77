package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// gradient is a tensor's gradient: a view of a block of memory, to which st has one
// reference. The zero gradient is absent.
type gradient struct {
	backend.View
	st *storage
}

// release drops g's reference to its memory.
func (g gradient) release() {
	if g.st != nil {
		g.st.release()
	}
}

// node is one differentiable op on the tape.
type node struct {
	outs  []*value
	saved []*storage
	// back reads the gradients of outs, some of which may be absent, and adds to the
	// gradient of each input by Scope.give or Scope.share.
	back func(dy []gradient)
}

// needs reports whether an op on ts must be on the tape, because one of ts is.
func (s *Scope) needs(ts ...Tensor) bool {
	if !s.recording {
		return false
	}
	for _, t := range ts {
		if t.val != nil {
			return true
		}
	}
	return false
}

// track puts an op on the tape: its results, the tensors that its backward pass reads,
// and the backward pass itself.
func (s *Scope) track(outs []*Tensor, saved []Tensor, back func(dy []gradient)) {
	if s.unwinding {
		panic("tensor: an op with gradients inside Backward; a tensor made outside of Recompute must be one of its inputs")
	}
	n := node{back: back}
	for _, o := range outs {
		o.val = &value{}
		n.outs = append(n.outs, o.val)
	}
	for _, t := range saved {
		if t.st != nil {
			t.st.retain()
			n.saved = append(n.saved, t.st)
		}
	}
	s.tape = append(s.tape, n)
}

// newGradient returns a new contiguous gradient with t's shape and dtype.
func (s *Scope) newGradient(t Tensor) gradient { return s.newGradientAs(t, t.view.DType) }

// newGradientAs is newGradient with another dtype, for a sum that give will round.
func (s *Scope) newGradientAs(t Tensor, dt backend.DType) gradient {
	g := gradient{View: backend.NewView(nil, dt, t.view.Shape[:t.view.Rank]...)}
	if s.err != nil {
		return g
	}
	st, err := s.mem.get(g.Len() * g.DType.Size())
	if err != nil {
		s.err = fmt.Errorf("tensor: gradient %s%v: %w", g.DType, g.Dims(), err)
		return g
	}
	st.home = false
	g.st, g.Buf = st, st.buf
	return g
}

// give adds g to t's gradient, which has the dtype of t, and takes over g's reference.
func (s *Scope) give(t Tensor, g gradient) {
	if t.val == nil || s.err != nil {
		if g.st != nil {
			g.st.release()
		}
		return
	}
	v := t.val
	if v.spent {
		panic(fmt.Sprintf("tensor: Backward reaches %s, which an earlier Backward has passed "+
			"or Reset has taken off the tape", t.view))
	}
	switch {
	case v.grad.st == nil && g.DType != t.view.DType:
		v.grad = s.newGradient(t)
		s.do(&backend.Copy{Dst: v.grad.View, Src: g.View})
		g.st.release()
	case v.grad.st == nil:
		v.grad = g
	case v.grad.st.refs == 1:
		s.do(&backend.Binary{Y: v.grad.View, A: v.grad.View, B: g.View, Fn: backend.Add})
		g.st.release()
	default: // another tensor's gradient shares the memory
		sum := s.newGradient(t)
		s.do(&backend.Binary{Y: sum.View, A: v.grad.View, B: g.View, Fn: backend.Add})
		g.st.release()
		v.grad.st.release()
		v.grad = sum
	}
}

// accumulate runs an op that computes a gradient of t. If add is true, the op must add to
// g, which has t's gradient so far; otherwise it overwrites g, which is then added.
func (s *Scope) accumulate(t Tensor, op func(g backend.View, add bool) backend.Op) {
	if g := t.val.grad; g.st != nil && g.st.refs == 1 && s.err == nil {
		s.do(op(g.View, true))
		return
	}
	g := s.newGradient(t)
	s.do(op(g.View, false))
	s.give(t, g)
}

// share adds view, a view of g's memory, to t's gradient. The caller keeps its reference
// to g.
func (s *Scope) share(t Tensor, g gradient, view backend.View) {
	if t.val == nil || g.st == nil {
		return
	}
	g.st.retain()
	s.give(t, gradient{view, g.st})
}

// Backward computes the gradients of loss, a single element, with respect to every
// trainable parameter that it depends on, and adds them to the parameters' gradients. It
// frees tensors that the tape no longer needs, except loss itself; use Keep for others
// that are read afterwards. It returns the scope's first error.
//
// The tape is walked once. Backward panics if loss depends on a tensor that an earlier
// Backward has passed, since the gradient would be lost.
func (s *Scope) Backward(loss Tensor) error {
	if loss.Len() != 1 {
		panic(fmt.Sprintf("tensor: Backward of %s: want one element", loss.view))
	}
	if scopeOf("Backward", loss) != s {
		panic(fmt.Sprintf("tensor: Backward of %s, which is of another scope", loss.view))
	}
	if loss.val == nil && s.err == nil {
		panic("tensor: Backward of a tensor that depends on no trainable parameter, or in a scope without Grad")
	}
	loss.Keep()
	one := s.newGradient(loss)
	s.do(&backend.Fill{Dst: one.View, Value: 1})
	s.give(loss, one)
	return s.unwind()
}

// unwind walks the tape once, from its end.
func (s *Scope) unwind() error {
	for _, st := range s.held {
		if !st.kept {
			st.drop()
		}
	}
	s.unwinding = true
	for i := len(s.tape) - 1; i >= 0; i-- {
		n := &s.tape[i]
		s.step(n)
		for _, v := range n.outs {
			v.spend()
		}
		for _, st := range n.saved {
			st.release()
		}
		*n = node{}
	}
	s.tape = s.tape[:0]
	s.unwinding = false
	return s.err
}

// step runs the backward pass of one node if a gradient has reached it.
func (s *Scope) step(n *node) {
	if s.err != nil {
		return
	}
	dy := make([]gradient, len(n.outs))
	reached := false
	for i, v := range n.outs {
		dy[i] = v.grad
		reached = reached || v.grad.st != nil
	}
	if reached {
		n.back(dy)
	}
}

// deferral is a weight gradient that has not been computed yet, and the memory that it
// reads.
type deferral struct {
	run   func(s *Scope)
	saved []*storage
}

// weightGrad runs op, which reads dy and saved and adds to w's gradient. If the scope
// defers weight gradients, op runs in RunDeferred, otherwise now.
func (s *Scope) weightGrad(w *Param, dy gradient, saved []Tensor, op func(dw backend.View) backend.Op) {
	run := func(s *Scope) {
		if dw, ok := s.gradOf(w); ok {
			s.do(op(dw))
		}
	}
	if !s.deferW {
		run(s)
		return
	}
	d := deferral{run: run, saved: []*storage{dy.st}}
	for _, t := range saved {
		if t.st != nil {
			d.saved = append(d.saved, t.st)
		}
	}
	for _, st := range d.saved {
		st.retain()
	}
	s.deferred = append(s.deferred, d)
}

// RunDeferred computes the weight gradients that Backward left because of
// Options.DeferWeights, in the order in which they were deferred, and frees the memory
// that they read. Reset drops those that have not run.
func (s *Scope) RunDeferred() error {
	for _, d := range s.deferred {
		d.run(s)
	}
	s.dropDeferred()
	return s.err
}

func (s *Scope) dropDeferred() {
	for _, d := range s.deferred {
		for _, st := range d.saved {
			st.release()
		}
	}
	clear(s.deferred)
	s.deferred = s.deferred[:0]
}

// Detach returns t as a constant, without gradient.
func Detach(t Tensor) Tensor {
	t.mustLive("Detach")
	t.val = nil
	return t
}
