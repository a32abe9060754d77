package tensor

import (
	"fmt"
	"slices"
)

// Func is a custom differentiable op. Forward computes the result from the inputs in s,
// which does not record it. Backward returns the gradient of each input from the gradient
// of the result; the zero Tensor means that an input has none.
type Func struct {
	Forward  func(s *Scope, in []Tensor) Tensor
	Backward func(s *Scope, in []Tensor, out, dOut Tensor) []Tensor
}

// Apply runs f on its inputs and puts it on the tape.
func (f Func) Apply(in ...Tensor) Tensor {
	s := scopeOf("Func", in...)
	quiet := func(run func()) {
		was := s.recording
		s.recording = false
		defer func() { s.recording = was }()
		run()
	}
	plain := make([]Tensor, len(in))
	for i, t := range in {
		plain[i] = Detach(t)
		plain[i].s = s
	}
	var y Tensor
	quiet(func() { y = Detach(f.Forward(s, plain)) })
	y.s = s
	if s.needs(in...) {
		out := y
		s.track([]*Tensor{&y}, append(plain, out), func(dy []gradient) {
			quiet(func() {
				d := s.contiguous(dy[0])
				s.giveAll(in, func() []Tensor {
					return f.Backward(s, plain, out, Tensor{view: d.View, s: s, st: d.st})
				})
				d.release()
			})
		})
	}
	return y
}

// giveAll adds the gradients that back returns to those of the inputs, and frees all
// other tensors that back made.
func (s *Scope) giveAll(in []Tensor, back func() []Tensor) {
	mark := len(s.held)
	grads := back()
	if len(grads) > len(in) {
		panic(fmt.Sprintf("tensor: Func: Backward returned %d gradients for %d inputs", len(grads), len(in)))
	}
	for i, g := range grads {
		if !g.Present() || in[i].val == nil {
			continue
		}
		if !slices.Equal(g.Shape(), in[i].Shape()) || g.view.DType != in[i].view.DType {
			panic(fmt.Sprintf("tensor: Func: gradient %s of input %d, %s", g.view, i, in[i].view))
		}
		c := g.Contiguous()
		if c.st == nil { // c is the memory of a parameter
			c = s.copied(g)
		}
		s.share(in[i], gradient{c.view, c.st}, c.view)
	}
	for _, st := range s.held[mark:] {
		st.drop()
	}
	clear(s.held[mark:])
	s.held = s.held[:mark]
}

// Recompute runs fn without keeping its intermediate results, and runs it again in the
// backward pass, trading time for memory. fn must be a pure function of its inputs and of
// parameters. Only its inputs, its outputs and tensors marked by Keep survive the first
// run. Every tensor that fn reads, including positions and ids, must be an input: others
// may have been freed by then. In a scope without gradients Recompute just runs fn.
func Recompute(fn func(s *Scope, in []Tensor) []Tensor, in ...Tensor) []Tensor {
	s := scopeOf("Recompute", in...)
	if !s.recording {
		return fn(s, in)
	}
	inner := s.child(false)
	plain := make([]Tensor, len(in))
	for i, t := range in {
		plain[i] = Detach(t)
		plain[i].s = inner
	}
	outs := fn(inner, plain)
	s.Fail(inner.err)
	refs := make([]*Tensor, len(outs))
	for i := range outs {
		outs[i].s = s
		refs[i] = &outs[i]
	}
	inner.handOver(outs, s)
	inner.ended = true
	s.track(refs, plain, func(dy []gradient) { s.again(fn, in, dy) })
	return outs
}

// handOver moves the memory of outs and of kept tensors to the scope to, and frees the
// rest.
func (s *Scope) handOver(outs []Tensor, to *Scope) {
	for _, st := range s.held {
		keep := st.kept
		for _, o := range outs {
			keep = keep || o.st == st
		}
		if keep {
			to.held = append(to.held, st)
		} else {
			st.drop()
		}
	}
	s.held = nil
}

// again runs fn a second time, with gradients, and passes the gradients on to the inputs.
func (s *Scope) again(fn func(s *Scope, in []Tensor) []Tensor, in []Tensor, dy []gradient) {
	inner := s.child(true)
	inner.replaying = true
	inner.deferred = s.deferred
	leaves := make([]Tensor, len(in))
	for i, t := range in {
		leaves[i] = t
		leaves[i].s = inner
		leaves[i].val = nil
		if t.val != nil {
			inner.track([]*Tensor{&leaves[i]}, nil, func(d []gradient) {
				s.share(t, d[0], d[0].View)
			})
		}
	}
	outs := fn(inner, leaves)
	for i, o := range outs {
		if dy[i].st != nil {
			inner.share(o, dy[i], dy[i].View)
		}
	}
	s.Fail(inner.unwind())
	s.deferred, inner.deferred = inner.deferred, nil
	inner.Reset()
	inner.ended = true
}
