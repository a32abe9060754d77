package tensor

import (
	"fmt"
	"slices"
)

// Func is a custom differentiable op. Forward computes the result from the
// inputs inside s, which records nothing meanwhile; Backward returns the
// gradient of each input (the zero Tensor for none) from the result's gradient.
type Func struct {
	Forward  func(s *Scope, in []Tensor) Tensor
	Backward func(s *Scope, in []Tensor, out, dOut Tensor) []Tensor
}

// Apply runs f on its inputs.
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

// giveAll hands each input its gradient from those that back computes, and
// frees what else back made.
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
		if c.st == nil { // a parameter's own memory
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

// Recompute runs fn without keeping its intermediate results and runs it again
// in the backward pass, trading time for memory. fn must be a pure function of
// its inputs and of parameters; its inputs, its outputs and tensors marked by
// Keep are all that is left of the first run. Every tensor that fn reads,
// positions and ids included, must be an input: others may be gone by then.
// Outside a scope with gradients it just runs fn.
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

// handOver moves the storages of outs and kept tensors to scope to and frees
// the rest.
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

// again runs fn a second time, with gradients, and takes them to the inputs.
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
