package mathtext

import (
	"math"
	"slices"
)

// isPair reports whether n is (a, b), which may be an interval or a pair.
func isPair(n *node) bool { return n.kind == interval && n.openLeft && n.openEnd }

// equalCollections compares lists, sets, tuples and intervals. It also compares a single value
// with a set of one member.
func (c *comparer) equalCollections(want, got *node) bool {
	if want.kind == interval && got.kind == interval {
		return want.openLeft == got.openLeft && want.openEnd == got.openEnd && c.each(want.args, got.args)
	}
	w, wantOrdered := members(want)
	g, gotOrdered := members(got)
	if w != nil && g != nil && !inequality(want) && !inequality(got) {
		switch {
		case assignments(want) && !assignments(got):
			return c.equalAssigned(w, got, g)
		case wantOrdered && gotOrdered:
			return c.each(w, g)
		case wantOrdered && got.kind == list:
			return c.each(w, g)
		case wantOrdered:
			return false
		case gotOrdered && want.kind != list:
			return false
		}
		return c.unordered(w, g)
	}
	if w != nil && g != nil && want.kind == list && got.kind == list && want.text == got.text && c.unordered(w, g) {
		return true
	}
	return c.equalRealSets(want, got)
}

// inequality reports whether n is a list with a relation that is not an equation.
func inequality(n *node) bool {
	compares := func(m *node) bool { return m.kind == relation && !isEquation(m) }
	return n.kind == list && slices.ContainsFunc(n.args, compares)
}

// members returns the members of a list, set, tuple or pair, and whether their order matters.
// It returns nil if n is none of these.
func members(n *node) (m []*node, ordered bool) {
	switch {
	case n.kind == list, n.kind == set:
		return slices.Concat([]*node{}, n.args), false
	case n.kind == tuple, isPair(n):
		return slices.Concat([]*node{}, n.args), true
	case n.isScalar():
		return []*node{n}, false
	}
	return nil, false
}

// assignments reports whether all members of a list are assignments.
func assignments(n *node) bool {
	return n.kind == list && !slices.ContainsFunc(n.args, func(m *node) bool { return !isAssignment(m) })
}

// equalAssigned compares the members of got with the assignments want, such as x = 1, y = 2. If
// these are for several names, the order matters.
func (c *comparer) equalAssigned(want []*node, got *node, members []*node) bool {
	values := make([]*node, len(want))
	several := false
	for i, n := range want {
		values[i] = last(n)
		several = several || !same(n.args[0], want[0].args[0])
	}
	if several {
		return got.kind != set && c.each(values, members)
	}
	return c.unordered(values, members)
}

// line is the real line, divided at the ends and members of the sets that are compared. Place
// 2i+1 is the i-th cut; even places are the open intervals between cuts.
type line struct {
	c    *comparer
	cuts []*node
	at   []float64
}

// equalRealSets compares sets of real numbers by the places of the line that they contain.
func (c *comparer) equalRealSets(want, got *node) bool {
	l := &line{c: c}
	variable := ""
	for _, n := range []*node{want, got} {
		if !l.cut(n, &variable) {
			return false
		}
	}
	if !l.rises(want) || !l.rises(got) {
		return false
	}
	for place := range 2*len(l.cuts) + 1 {
		if l.holds(want, place) != l.holds(got, place) {
			return false
		}
	}
	return true
}

// cut divides the line at the ends of n. It reports whether n is a set of real numbers with
// known ends.
func (l *line) cut(n *node, variable *string) bool {
	switch n.kind {
	case symbol:
		return n.text == `\R`
	case setOp:
		return l.cut(n.args[0], variable) && l.cut(n.args[1], variable)
	case set, interval:
		for _, m := range n.args {
			if !l.cutAt(m) {
				return false
			}
		}
		return true
	case list:
		if n.text != "or" && !inequality(n) {
			return false
		}
		for _, m := range n.args {
			if !l.cut(m, variable) {
				return false
			}
		}
		return true
	case relation:
		if member(n) {
			return l.cut(n.args[1], variable)
		}
		for i, m := range n.args {
			name := m.isName() && m.kind == symbol && !constants[m.text]
			switch {
			case name && (*variable == "" || *variable == fold(m.text)):
				*variable = fold(m.text)
			case name || !l.cutAt(m):
				return false
			case i > 0 && i < len(n.args)-1:
				return false
			}
		}
		return len(n.args) == 2 || len(n.args) == 3 && n.args[1].isName()
	}
	return false
}

// rises reports whether all intervals in n begin before they end. If not, as in (2, 1), n is a
// pair.
func (l *line) rises(n *node) bool {
	return !n.any(func(m *node) bool {
		if m.kind != interval {
			return false
		}
		low, high := l.place(m.args[0]), l.place(m.args[1])
		return low > high || low == high && (m.openLeft || m.openEnd)
	})
}

// cutAt adds a cut at the end n, unless there is one.
func (l *line) cutAt(n *node) bool {
	if infinite(n) != 0 {
		return true
	}
	if !n.isScalar() || !n.isConstant() {
		return false
	}
	if l.place(n) >= 0 {
		return true
	}
	a := newAlgebra(l.c.steps)
	v := a.number64(n, 1)
	l.c.steps = a.steps
	if !finite(v) || !isReal(v) || math.IsNaN(real(v)) {
		return false
	}
	i, _ := slices.BinarySearch(l.at, real(v))
	l.at = slices.Insert(l.at, i, real(v))
	l.cuts = slices.Insert(l.cuts, i, n)
	if len(l.cuts) > maxMembers {
		fail(ErrTooBig, "sets with more than %d ends", maxMembers)
	}
	return true
}

// place returns the place of an end on the line, or −1.
func (l *line) place(n *node) int {
	switch infinite(n) {
	case 1:
		return 2*len(l.cuts) + 1
	case -1:
		return -1
	}
	for i, cut := range l.cuts {
		if l.c.equalValues(cut, n) {
			return 2*i + 1
		}
	}
	return -1
}

// holds reports whether the set n contains a place of the line.
func (l *line) holds(n *node, place int) bool {
	l.c.spend(1)
	switch n.kind {
	case symbol:
		return true
	case set:
		return slices.ContainsFunc(n.args, func(m *node) bool { return l.place(m) == place })
	case interval:
		low, high := l.place(n.args[0]), l.place(n.args[1])
		return (place > low || place == low && !n.openLeft) && (place < high || place == high && !n.openEnd)
	case list:
		for _, m := range n.args {
			if l.holds(m, place) == (n.text == "or") {
				return n.text == "or"
			}
		}
		return n.text != "or"
	case setOp:
		x, y := l.holds(n.args[0], place), l.holds(n.args[1], place)
		switch n.text {
		case "∪":
			return x || y
		case "∩":
			return x && y
		}
		return x && !y
	}
	if member(n) {
		return l.holds(n.args[1], place)
	}
	for i, op := range n.ops {
		x, y := place, place
		if !n.args[i].isName() {
			x = l.place(n.args[i])
		}
		if !n.args[i+1].isName() {
			y = l.place(n.args[i+1])
		}
		switch {
		case op == "<" && x < y, op == "≤" && x <= y, op == ">" && x > y, op == "≥" && x >= y, op == "=" && x == y,
			op == "≠" && x != y:
		default:
			return false
		}
	}
	return true
}
