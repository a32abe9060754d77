package mathtext

import (
	"errors"
	"slices"
	"strings"
)

// errNoNumber is wrapped by errors about structures where a number is expected.
var errNoNumber = errors.New("no number")

var kindNames = [...]string{
	number: "a number", symbol: "a symbol", word: "words", sum: "a sum", product: "a product", quotient: "a quotient",
	power: "a power", negation: "a negation", call: "a function", percent: "a percentage", plusMinus: "a ±",
	based: "a number in another base", ratio: "a ratio", relation: "a relation", list: "a list", set: "a set",
	tuple: "a tuple", interval: "an interval", setOp: "a union or intersection", matrix: "a matrix",
}

// comparer compares two answers with a limited number of steps.
type comparer struct{ steps int }

// spend counts n steps, and fails if none are left.
func (c *comparer) spend(n int) {
	if c.steps -= n; c.steps < 0 {
		fail(ErrTooBig, "more than %d steps of comparison", maxSteps)
	}
}

// equal reports whether the answer got matches want. It is not symmetric: an answer may say more
// than want, such as x = 5 for 5, but not less.
func (c *comparer) equal(want, got *node) bool {
	c.spend(10)
	if same(want, got) {
		return true
	}
	if isEquation(want) && isEquation(got) {
		return c.equalEquations(want, got)
	}
	if isEquation(got) {
		// In (x, y) = (1, 2), the right side is not an interval.
		return c.unwraps(got) && (want.kind != relation || got.args[0].kind != interval) && c.equal(want, last(got))
	}
	if isAssignment(want) {
		return c.equal(last(want), got)
	}
	if member(want) {
		return c.equal(want.args[1], got)
	}
	if member(got) {
		return c.equal(want, got.args[1])
	}
	switch {
	case want.kind == relation && got.kind == relation:
		return c.equalRelations(want, got)
	case want.kind == matrix || got.kind == matrix:
		return want.kind == got.kind && want.width == got.width && len(want.args) == len(got.args) &&
			c.each(want.args, got.args)
	case want.kind == based || got.kind == based:
		return c.equalBased(want, got)
	case want.kind == ratio && got.kind == ratio:
		return c.equalRatios(want, got)
	case want.kind == word || got.kind == word:
		return equalWords(want, got)
	case want.isScalar() && got.isScalar():
		return c.equalScalars(want, got)
	case want.kind == ratio && len(want.args) == 2 && got.isScalar(),
		got.kind == ratio && len(got.args) == 2 && want.isScalar():
		return c.equalScalars(want, got)
	}
	return c.equalCollections(want, got)
}

// each compares members in order.
func (c *comparer) each(want, got []*node) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !c.equal(want[i], got[i]) {
			return false
		}
	}
	return true
}

// letters returns the letters that a word or a product of symbols consists of.
func letters(n *node) string {
	switch n.kind {
	case word:
		return strings.NewReplacer(" ", "", "(", "", ")", "", ".", "").Replace(fold(n.text))
	case symbol:
		return strings.ToLower(n.text)
	case product, sum:
		var b strings.Builder
		for _, m := range n.args {
			s := letters(m)
			if s == "" || n.kind == sum && len(n.args) > 1 {
				return ""
			}
			b.WriteString(s)
		}
		return b.String()
	}
	return ""
}

func equalWords(want, got *node) bool {
	w := letters(want)
	return w != "" && w == letters(got)
}

// equalBased compares numbers in another base than ten by their digits.
func (c *comparer) equalBased(want, got *node) bool {
	if want.kind == based && got.kind == based {
		return strings.TrimLeft(want.text, "0") == strings.TrimLeft(got.text, "0") && c.equal(want.args[0], got.args[0])
	}
	if want.kind != based {
		return false // the wanted base is not known
	}
	return got.kind == number && got.num.IsInt() && got.num.Num().String() == strings.TrimLeft(want.text, "0") ||
		letters(got) == want.text
}

// equalRatios compares a : b : … up to a common factor.
func (c *comparer) equalRatios(want, got *node) bool {
	if len(want.args) != len(got.args) {
		return false
	}
	for i := range want.args[1:] {
		w := &node{kind: quotient, args: []*node{want.args[i+1], want.args[0]}}
		g := &node{kind: quotient, args: []*node{got.args[i+1], got.args[0]}}
		if !c.equalScalars(w, g) {
			return false
		}
	}
	return true
}

// infinite returns the sign of an infinite end, or 0.
func infinite(n *node) int {
	switch {
	case n.kind == symbol && n.text == `\infty`:
		return 1
	case n.kind == negation:
		return -infinite(n.args[0])
	}
	return 0
}

// equalScalars compares numbers and expressions. A percentage matches the number of percent, so
// 5% matches 5, but a number does not match a percentage.
func (c *comparer) equalScalars(want, got *node) bool {
	if w, g := infinite(want), infinite(got); w != 0 || g != 0 {
		return w == g
	}
	if got.kind == percent && want.kind != percent && c.equalValues(want, got.args[0]) {
		return true
	}
	return c.equalValues(want, got)
}

// equalValues compares values: to 6 decimals if one is written as a decimal, otherwise exactly.
func (c *comparer) equalValues(want, got *node) bool {
	a := newAlgebra(c.steps)
	defer func() { c.steps = a.steps }()
	a.fold = !clash(want) && !clash(got)
	w, g := a.normal(want), a.normal(got)
	if len(a.difference(w, g)) == 0 {
		return true
	}
	if (want.isDecimal() || got.isDecimal()) && want.isConstant() && got.isConstant() {
		p, ok := w.constant()
		q, also := g.constant()
		if ok && also {
			return rationalRoundsTo(p, q)
		}
		return roundsTo(a.number64(want, 1), a.number64(got, 1))
	}
	return a.opaque && a.alike(want, got)
}

// clash reports whether n has a letter in both upper and lower case, which are then different
// variables.
func clash(n *node) bool {
	seen := map[string]string{}
	return n.any(func(m *node) bool {
		if m.kind != symbol {
			return false
		}
		low := strings.ToLower(m.text)
		old, ok := seen[low]
		seen[low] = m.text
		return ok && old != m.text || m.text == "E" || m.text == "I" // e and i are numbers
	})
}

// unordered reports whether every member of want matches one of got, and every member of got
// matches one of want.
func (c *comparer) unordered(want, got []*node) bool {
	if len(want) > maxMembers || len(got) > maxMembers {
		fail(ErrTooBig, "a set of more than %d members", maxMembers)
	}
	covered := make([]bool, len(got))
	for _, w := range want {
		found := false
		for i, g := range got {
			if (!found || !covered[i]) && c.equal(w, g) {
				found, covered[i] = true, true
			}
		}
		if !found {
			return false
		}
	}
	return !slices.Contains(covered, false)
}

// check fails if a number or expression in n has no value or is too big.
func (c *comparer) check(n *node) {
	switch {
	case infinite(n) != 0:
	case n.isScalar():
		a := newAlgebra(c.steps)
		a.normal(n)
		c.steps = a.steps
	case n.kind != based:
		for _, m := range n.args {
			c.check(m)
		}
	}
}

// valid returns an error that wraps ErrUndefined if a part of the first reading has no value, or
// ErrTooBig if it needs too many steps.
func (want *Answer) valid() (err error) {
	defer caught(&err)
	(&comparer{steps: maxSteps}).check(want.readings[0])
	return nil
}

// Equal reports whether got matches the gold answer want. The error wraps ErrUndefined if got
// has no value, and ErrTooBig if the comparison needs too many steps.
func (want *Answer) Equal(got *Answer) (equal bool, err error) {
	defer caught(&err)
	if want.half != "" && got.half != "" && want.half != got.half {
		return false, nil
	}
	c := &comparer{steps: maxSteps}
	for _, g := range got.readings {
		if c.equal(want.readings[0], g) {
			return true, nil
		}
	}
	return false, nil
}
