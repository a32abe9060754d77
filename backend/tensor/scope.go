package tensor

import (
	"fmt"
	"strings"

	"github.com/aha-go/aha/backend"
)

// Scope owns the memory, the tape and the first error of one micro-batch.
// A tensor made in it lives until Reset or Close, or until the backward pass has read
// it for the last time.
//
// A tensor may be used in another scope too, where it is a constant: a teacher's
// output in the student's loss. The op then belongs to the scope that records its
// gradients, in whatever order the operands stand; tensors on the tapes of two
// scopes panic.
//
// A Scope is used by one goroutine.
type Scope struct {
	b         backend.Backend
	parent    *Scope // the scope around Recompute; nil outside of it
	ended     bool   // Recompute has returned, and what is left belongs to parent
	mem       *memory
	recording bool
	replaying bool // running again inside Recompute's backward
	inference bool // weights do not change, so products use packed copies of them
	held      []*storage
	tape      []node
	unwinding bool // Backward is walking the tape
	deferred  []deferral
	deferW    bool
	trained   *Params // see Options.Trained
	err       error
}

// Options say what a scope is for. The zero value is inference.
type Options struct {
	// Grad records the tape, so that Backward works.
	Grad bool
	// DeferWeights makes Backward leave the weight gradients of Linear and
	// GroupedLinear for RunDeferred, as ZB1P and DualPipe need.
	DeferWeights bool
	// Trained, if not nil, holds every parameter that somebody will update: a
	// gradient for another one is an error that names it, since it would be lost.
	Trained *Params
}

// NewScope returns an empty scope on b. Close it to give its memory back.
func NewScope(b backend.Backend, o Options) *Scope {
	return &Scope{
		b: b, mem: newMemory(b), recording: o.Grad, inference: !o.Grad, deferW: o.DeferWeights, trained: o.Trained,
	}
}

// Recording reports whether ops are put on the tape.
func (s *Scope) Recording() bool { return s.recording }

// Counting reports whether a block should count what passes (the load of
// experts): in training, and in the first of the two runs under Recompute.
func (s *Scope) Counting() bool { return !s.inference && !s.replaying }

// Err is the first error of the scope.
func (s *Scope) Err() error { return s.err }

// Fail makes err the scope's error unless it has one; nil is ignored.
func (s *Scope) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Reset ends the micro-batch: all tensors of the scope become invalid, tape
// and error are cleared, and the memory is kept for the next one.
func (s *Scope) Reset() {
	for _, st := range s.held {
		st.drop()
	}
	clear(s.held)
	s.held = s.held[:0]
	for i := range s.tape {
		for _, st := range s.tape[i].saved {
			st.release()
		}
		for _, v := range s.tape[i].outs {
			v.spend()
		}
		s.tape[i] = node{}
	}
	s.tape = s.tape[:0]
	s.unwinding = false
	s.dropDeferred()
	s.err = nil
	if s.parent == nil {
		s.mem.nextBatch()
	}
}

// Close frees all memory of the scope and its programs. A tensor of it must not be
// used again.
func (s *Scope) Close() {
	s.Reset()
	s.mem.close()
}

// child is a scope on the same memory.
func (s *Scope) child(recording bool) *Scope {
	return &Scope{
		b: s.b, parent: s, mem: s.mem, recording: recording, inference: s.inference, deferW: s.deferW,
		replaying: s.replaying, trained: s.trained, err: s.err,
	}
}

// LiveBytes is the memory in use by tensors of this scope's memory;
// PeakBytes is its highest value since the last call of ResetPeak.
func (s *Scope) LiveBytes() int { return s.mem.live }

// PeakBytes is the highest LiveBytes since the scope began or ResetPeak.
func (s *Scope) PeakBytes() int { return s.mem.peak }

// ResetPeak starts a new measurement of PeakBytes.
func (s *Scope) ResetPeak() { s.mem.peak = s.mem.live }

// Record runs fn with the scope's ops collected instead of executed and
// returns them as a program. All memory that fn uses, even what Local frees
// within it, stays the program's until Reset, and allocated until Close; what a program
// reads anew each run must be tensors made before. Close frees the program. The scope must not
// be recording gradients.
func (s *Scope) Record(fn func()) (*backend.Program, error) {
	if s.recording {
		panic("tensor: Record in a scope that records gradients")
	}
	for _, st := range s.held { // the program may read them
		st.recorded = true
	}
	raw := s.b
	s.mem.beginProgram()
	defer func() {
		s.b = raw
		s.held = append(s.held, s.mem.endProgram()...)
	}()
	p, err := backend.Record(raw, func(b backend.Backend) error {
		s.b = b
		fn()
		return s.err
	})
	if err == nil {
		s.mem.programs = append(s.mem.programs, p)
	}
	return p, err
}

// Local runs fn and, in a scope without gradients, frees what it made except
// its result and tensors marked by Keep: the peak of a deep forward is then
// that of its largest block. With gradients it just runs fn.
func (s *Scope) Local(fn func() Tensor) Tensor {
	mark := len(s.held)
	out := fn()
	out.mustLive("Local")
	if s.recording {
		return out
	}
	kept := mark
	for _, st := range s.held[mark:] {
		if st == out.st || st.kept {
			s.held[kept] = st
			kept++
		} else {
			st.drop()
		}
	}
	clear(s.held[kept:])
	s.held = s.held[:kept]
	return out
}

// do checks and queues one op, unless the scope has failed.
func (s *Scope) do(op backend.Op) {
	if s.err != nil {
		return
	}
	if err := op.Check(); err != nil {
		panic("tensor: " + strings.TrimPrefix(err.Error(), "backend: "))
	}
	if err := backend.Do(s.b, op); err != nil {
		s.err = fmt.Errorf("tensor: %w", err)
	}
}

// Scatter writes the rows of x [N, D] to the rows index [N] of dst [R, D],
// memory outside the scope such as a cache. Nothing is put on the tape.
func (s *Scope) Scatter(dst backend.View, x, index Tensor) {
	s.Fail(scopeOf("Scatter", x, index).err)
	s.do(&backend.Scatter{Y: dst, X: x.View(), Index: index.View()})
}

// Copy copies src to dst, memory outside the scope such as a cache, of one shape. Nothing
// is put on the tape.
func (s *Scope) Copy(dst, src backend.View) { s.do(&backend.Copy{Dst: dst, Src: src}) }

// Do queues a backend op on tensors' views, for ops that have no function
// here, such as those of an optimizer. Nothing is recorded on the tape: a result that
// a loss depends on would have no gradient. See Func for that.
func (s *Scope) Do(op backend.Op) { s.do(op) }
