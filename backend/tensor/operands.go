package tensor

import "fmt"

// scopeOf returns the scope of an op on ts, which owns the memory of the result, its
// place on the tape and its errors. If the operands belong to several scopes, it is the
// first of these that applies, whatever the order of the operands:
//
//   - a scope inside Recompute rather than the scope around it,
//   - the scope of an operand that is on a tape,
//   - a scope with gradients rather than one without,
//   - the scope of the first operand.
//
// An operand of another scope is a constant, such as a teacher's output to the student:
// its memory is kept until the backward pass has read it, and a failure of its scope
// becomes a failure of the op.
//
// scopeOf panics if an operand is absent, if its memory was freed, or if it is on the
// tape of another scope, since its gradient would be lost.
func scopeOf(op string, ts ...Tensor) *Scope {
	if len(ts) == 0 {
		panic(fmt.Sprintf("tensor: %s of no tensors", op))
	}
	lead := 0
	same := true
	for i, t := range ts {
		if t.s == nil {
			panic(fmt.Sprintf("tensor: %s: operand %d is absent", op, i))
		}
		t.mustLive(op)
		same = same && t.s == ts[0].s
		if !same && t.leads(ts[lead]) {
			lead = i
		}
	}
	s := ts[lead].Scope()
	if same {
		return s
	}
	for i, t := range ts {
		home := t.Scope()
		switch {
		case home == s:
		case t.val == nil:
			s.Fail(home.err)
		case s.inside(home):
			panic(fmt.Sprintf("tensor: %s: operand %d, %s, is on the tape of the scope around Recompute; "+
				"a tensor made outside of Recompute must be one of its inputs", op, i, t.view))
		default:
			panic(fmt.Sprintf("tensor: %s: operand %d, %s, is on the tape of one scope, and operand %d, %s, "+
				"on that of another; Detach one", op, lead, ts[lead].view, i, t.view))
		}
	}
	return s
}

// leads reports whether an op on u and t, in this order, belongs to t's scope.
func (t Tensor) leads(u Tensor) bool {
	a, b := t.Scope(), u.Scope()
	switch {
	case a.inside(b):
		return true
	case b.inside(a):
		return false
	case (t.val != nil) != (u.val != nil):
		return t.val != nil
	}
	return b.inference && !a.inference
}

// inside reports whether s is the scope of a Recompute within outer.
func (s *Scope) inside(outer *Scope) bool {
	for s = s.parent; s != nil; s = s.parent {
		if s == outer {
			return true
		}
	}
	return false
}

// mustLive panics if t's memory was freed.
func (t Tensor) mustLive(op string) {
	if t.st != nil && t.st.dead {
		panic(fmt.Sprintf("tensor: %s: use of %s after its memory was given back "+
			"(by Reset, Close, Local or Backward; see Keep)", op, t.view))
	}
}
