package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// gradient is a block of memory that holds a tensor's gradient, or a view of
// one; st carries one reference. The zero gradient is absent.
type gradient struct {
	backend.View
	st *storage
}

// release gives up g's reference.
func (g gradient) release() {
	if g.st != nil {
		g.st.release()
	}
}

// node is one differentiable op on the tape.
type node struct {
	outs  []*value
	saved []*storage
	// back reads the gradients of outs (some may be absent) and hands each
	// input its share by Scope.give or Scope.share.
	back func(dy []gradient)
}

// needs reports whether any of ts is on the tape, so that an op on them must be.
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

// track puts an op on the tape: its results, the tensors its backward reads,
// and the backward itself.
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

// newGradient is a fresh contiguous block of t's shape and dtype.
func (s *Scope) newGradient(t Tensor) gradient { return s.newGradientAs(t, t.view.DType) }

// newGradientAs is newGradient of another dtype, for a sum on its way to give.
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

// give adds g to t's gradient and takes its reference. The gradient has the dtype
// of t.
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
	default: // another tensor reads the block too
		sum := s.newGradient(t)
		s.do(&backend.Binary{Y: sum.View, A: v.grad.View, B: g.View, Fn: backend.Add})
		g.st.release()
		v.grad.st.release()
		v.grad = sum
	}
}

// gather adds to t's gradient what op writes, or adds to what is there where add
// is set.
func (s *Scope) gather(t Tensor, op func(g backend.View, add bool) backend.Op) {
	if g := t.val.grad; g.st != nil && g.st.refs == 1 && s.err == nil {
		s.do(op(g.View, true))
		return
	}
	g := s.newGradient(t)
	s.do(op(g.View, false))
	s.give(t, g)
}

// share adds view, which lies in g's block, to t's gradient; g stays the caller's.
func (s *Scope) share(t Tensor, g gradient, view backend.View) {
	if t.val == nil || g.st == nil {
		return
	}
	g.st.retain()
	s.give(t, gradient{view, g.st})
}

// Backward computes the gradients of loss, a single element, with respect to
// every trainable parameter it depends on and adds them to the parameters'
// gradients. Tensors the tape no longer needs are given back on the way, but
// for loss itself; Keep others that are to be read afterwards. It returns the
// scope's first error.
//
// The tape is walked once: where loss depends on a tensor that an earlier
// Backward has passed, its gradient would be lost, and Backward panics.
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

// unwind walks the tape from its end, once.
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

// step runs one node's backward if a gradient reached it.
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

// deferral is a weight gradient still to be computed, and the memory it reads.
type deferral struct {
	run   func(s *Scope)
	saved []*storage
}

// weightGrad adds to w's gradient by op, which reads dy and saved, now or,
// where the scope defers weights, in RunDeferred.
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

// RunDeferred computes the weight gradients that Backward left under
// Options.DeferWeights, in the order they were deferred, and gives back what
// they held. Reset drops those that have not run.
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

// Detach is t's value as a constant.
func Detach(t Tensor) Tensor {
	t.mustLive("Detach")
	t.val = nil
	return t
}
