package tensor

import "fmt"

// scopeOf is the scope that the op on ts belongs to: its result's memory, its
// place on the tape and its errors. Where the operands are of several scopes,
// the order they stand in does not matter unless all else is equal. It is
//
//   - the scope inside Recompute rather than the one around it,
//   - the one on whose tape an operand is,
//   - one with gradients rather than one without,
//   - that of the first operand.
//
// An operand of another scope is a constant, as a teacher's output is to the
// student: its memory is held until the backward pass has read it, and a failure
// of its scope becomes one of the op's.
//
// It panics where an operand is absent, where its memory was given back, and
// where it is on the tape of another scope, since its gradient would be lost.
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

// leads reports whether an op on both belongs to t's scope where u is the
// operand before t.
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

// inside reports whether s is a scope of Recompute within outer.
func (s *Scope) inside(outer *Scope) bool {
	for s = s.parent; s != nil; s = s.parent {
		if s == outer {
			return true
		}
	}
	return false
}

// mustLive panics if t's memory was given back.
func (t Tensor) mustLive(op string) {
	if t.st != nil && t.st.dead {
		panic(fmt.Sprintf("tensor: %s: use of %s after its memory was given back "+
			"(by Reset, Close, Local or Backward; see Keep)", op, t.view))
	}
}
