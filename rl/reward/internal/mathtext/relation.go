package mathtext

import (
	"math/big"
	"slices"
)

func isEquation(n *node) bool {
	return n.kind == relation && !slices.ContainsFunc(n.ops, func(op string) bool { return op != "=" })
}

// isAssignment reports whether n is an equation with a name on the left side, such as x = 2 or
// f(x) = x² = x·x.
func isAssignment(n *node) bool { return isEquation(n) && n.args[0].isName() }

// member reports whether n states that a name is a member of a set.
func member(n *node) bool {
	return n.kind == relation && len(n.ops) == 1 && n.ops[0] == "∈" && n.args[0].isName()
}

// last returns the right side of a chain of equations.
func last(n *node) *node { return n.args[len(n.args)-1] }

// unwraps reports whether a chain of equations can be replaced by its last side: it is an
// assignment, or its sides are constants and all equal. Sides that had units, such as
// 2 hours = 120 minutes, are not compared.
func (c *comparer) unwraps(n *node) bool {
	if !n.args[0].isName() && !n.args[0].isConstant() {
		return false
	}
	end := last(n)
	if n.units || !end.isScalar() || !end.isConstant() {
		return true
	}
	for _, side := range n.args[:len(n.args)-1] {
		if side.isScalar() && side.isConstant() && !c.equal(end, side) && !c.equal(side, end) {
			return false
		}
	}
	return true
}

// equalEquations compares equations. For assignments it compares the first and last sides.
func (c *comparer) equalEquations(want, got *node) bool {
	if isAssignment(want) && isAssignment(got) {
		if !c.unwraps(got) {
			return false
		}
		if c.equal(last(want), last(got)) && c.equal(want.args[0], got.args[0]) {
			return true
		}
	}
	if len(want.ops) != 1 || len(got.ops) != 1 {
		return isAssignment(want) && !isAssignment(got) && c.unwraps(got) && got.args[0].isConstant() &&
			c.equal(last(want), last(got)) || len(want.args) == len(got.args) && c.each(want.args, got.args)
	}
	if isAssignment(want) && want.args[1].isConstant() {
		// The wanted answer is a solution, not an equation with this solution.
		flipped := &node{kind: relation, ops: got.ops, args: []*node{got.args[1], got.args[0]}}
		return isAssignment(flipped) && !isAssignment(got) && c.equalEquations(want, flipped) ||
			got.args[0].isConstant() && c.unwraps(got) && c.equal(want.args[1], got.args[1])
	}
	return c.proportional(want, got)
}

// sides rewrites a relation as a relation of a difference with 0. op is =, ≠, < or ≤.
func sides(n *node) (difference *node, op string) {
	l, r, op := n.args[0], n.args[1], n.ops[0]
	switch op {
	case ">", "≥":
		l, r, op = r, l, map[string]string{">": "<", "≥": "≤"}[op]
	}
	return &node{kind: sum, args: []*node{l, {kind: negation, args: []*node{r}}}}, op
}

// equalRelations compares inequalities and chains of them.
func (c *comparer) equalRelations(want, got *node) bool {
	if len(want.ops) != len(got.ops) {
		return false
	}
	if len(want.ops) == 1 {
		return c.proportional(want, got)
	}
	w, g := rising(want), rising(got)
	return slices.Equal(w.ops, g.ops) && c.each(w.args, g.args)
}

// rising reverses a chain of > and ≥ to one of < and ≤.
func rising(n *node) *node {
	turned := map[string]string{">": "<", "≥": "≤"}
	if turned[n.ops[0]] == "" {
		return n
	}
	r := &node{kind: relation, args: slices.Clone(n.args)}
	for _, op := range n.ops {
		if turned[op] == "" {
			return n
		}
		r.ops = append(r.ops, turned[op])
	}
	slices.Reverse(r.args)
	slices.Reverse(r.ops)
	return r
}

// proportional reports whether two relations are equal up to a factor that preserves them:
// x < y equals 2x − 2y < 0, but not −x < −y.
func (c *comparer) proportional(want, got *node) bool {
	for _, n := range append(slices.Clone(want.args), got.args...) {
		if !n.isScalar() || infinite(n) != 0 {
			return want.ops[0] == got.ops[0] && c.each(want.args, got.args)
		}
	}
	w, op := sides(want)
	g, also := sides(got)
	if op != also {
		return false
	}
	if c.equalValues(w, g) {
		return true
	}
	a := newAlgebra(c.steps)
	defer func() { c.steps = a.steps }()
	a.fold = !clash(w) && !clash(g)
	p, q := a.normal(w), a.normal(g)
	if op == "<" || op == "≤" {
		// The sign of a denominator with variables is unknown.
		for _, den := range []*polynomial{&p.den, &q.den} {
			if r, ok := den.constant(); ok && r.Sign() > 0 {
				*den = whole(1)
			}
		}
		if !equalPolynomials(p.den, q.den) {
			return false
		}
	}
	return proportionalPolynomials(p.num, q.num, op == "<" || op == "≤")
}

// proportionalPolynomials reports whether q is p times a number. If positive is set, the number
// must be positive.
func proportionalPolynomials(p, q polynomial, positive bool) bool {
	if len(p) != len(q) {
		return false
	}
	var factor *big.Rat
	for key, t := range p {
		u, ok := q[key]
		if !ok {
			return false
		}
		f := new(big.Rat).Quo(u.coef, t.coef)
		if factor != nil && factor.Cmp(f) != 0 || positive && f.Sign() < 0 {
			return false
		}
		factor = f
	}
	return true
}
