package mathtext

import (
	"math/big"
	"slices"
	"strings"
)

// kind is the kind of a node.
type kind uint8

const (
	number    kind = iota // num; decimal if written with a point
	symbol                // text: a variable, a constant (\pi, e, i, \infty) or a set (\mathbb{R})
	word                  // text: words that are not mathematics, such as "no solution"
	sum                   // args, added
	product               // args, multiplied
	quotient              // args[0] / args[1]
	power                 // args[0] to args[1]
	negation              // -args[0]
	call                  // function with the name text, applied to args
	percent               // args[0] %
	plusMinus             // args[0] ± args[1]; text "∓" for the other order
	based                 // text: digits in the base args[0]
	ratio                 // args[0] : args[1] : …
	relation              // args[0] ops[0] args[1] ops[1] …
	list                  // args separated by commas, without brackets; text "or" if joined by or
	set                   // {args}
	tuple                 // (args) or [args] with three or more members, or with semicolons
	interval              // args[0] to args[1]; with both ends open it may also be a pair
	setOp                 // args[0] and args[1] joined by text, which is ∪, ∩ or ∖
	matrix                // args in rows of length width
)

// node is a node of the tree of a parsed answer.
type node struct {
	kind     kind
	text     string
	num      *big.Rat
	args     []*node
	ops      []string // operators of a relation
	width    int      // width of a matrix
	decimal  bool     // the number has a decimal point
	units    bool     // a unit was dropped in the answer
	openLeft bool     // the interval is open at the left
	openEnd  bool     // the interval is open at the right
}

func symbolNode(name string) *node { return &node{kind: symbol, text: name} }

func numberNode(r *big.Rat) *node { return &node{kind: number, num: r} }

func intNode(n int64) *node { return numberNode(new(big.Rat).SetInt64(n)) }

func callNode(name string, args ...*node) *node { return &node{kind: call, text: name, args: args} }

// any reports whether f is true for n or one of its descendants.
func (n *node) any(f func(*node) bool) bool {
	if f(n) {
		return true
	}
	for _, a := range n.args {
		if a.any(f) {
			return true
		}
	}
	return false
}

// constants holds the symbols of numbers.
var constants = map[string]bool{`\pi`: true, "e": true, "i": true, `\infty`: true}

// numberSets holds the symbols of sets of numbers.
var numberSets = map[string]bool{`\R`: true, `\Z`: true, `\N`: true, `\Q`: true, `\C`: true}

// isConstant reports whether n has no variables.
func (n *node) isConstant() bool {
	return !n.any(func(m *node) bool {
		return m.kind == symbol && !constants[m.text] || m.kind == word || m.kind == call && applied[m.text]
	})
}

// isDecimal reports whether n has a number with a decimal point.
func (n *node) isDecimal() bool {
	return n.any(func(m *node) bool { return m.kind == number && m.decimal })
}

// isName reports whether n can be the left side of an assignment: a variable, f(x)
// or words.
func (n *node) isName() bool {
	switch n.kind {
	case symbol:
		return n.text != `\infty` && !numberSets[n.text] && n.text != `\pi`
	case word:
		return true
	case call:
		return applied[n.text]
	case interval, tuple: // (x, y)
		return len(n.args) > 0 && !slices.ContainsFunc(n.args, func(m *node) bool { return m.kind != symbol || !m.isName() })
	case product: // letters without a sign between them, such as AB
		for _, a := range n.args {
			if a.kind != symbol || constants[a.text] {
				return false
			}
		}
		return true
	}
	return false
}

// isScalar reports whether n is a number or an expression.
func (n *node) isScalar() bool {
	switch n.kind {
	case word, relation, list, set, tuple, interval, setOp, matrix, ratio, based:
		return false
	case symbol:
		return !numberSets[n.text]
	}
	return true
}

// same reports whether two trees are identical.
func same(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || len(a.args) != len(b.args) || len(a.ops) != len(b.ops) ||
		a.width != b.width || a.openLeft != b.openLeft || a.openEnd != b.openEnd {
		return false
	}
	if a.kind == number && a.num.Cmp(b.num) != 0 {
		return false
	}
	for i := range a.ops {
		if a.ops[i] != b.ops[i] {
			return false
		}
	}
	for i := range a.args {
		if !same(a.args[i], b.args[i]) {
			return false
		}
	}
	return true
}

// signs returns two trees, n with every ± replaced by + and n with every ± replaced by −. If n
// has no ±, it returns only n.
func signs(n *node, nodes *int) []*node {
	if !n.any(func(m *node) bool { return m.kind == plusMinus }) {
		return []*node{n}
	}
	return []*node{withSign(n, true, nodes), withSign(n, false, nodes)}
}

func withSign(n *node, plus bool, nodes *int) *node {
	if *nodes++; *nodes > maxNodes {
		fail(ErrTooBig, "an answer of more than %d terms", maxNodes)
	}
	c := *n
	c.args = make([]*node, len(n.args))
	for i, a := range n.args {
		c.args[i] = withSign(a, plus, nodes)
	}
	if n.kind != plusMinus {
		return &c
	}
	c.kind, c.text = sum, ""
	if plus == (n.text == "∓") {
		c.args[1] = &node{kind: negation, args: []*node{c.args[1]}}
	}
	return &c
}

// fold returns the form of a text in which words and names are compared.
func fold(text string) string {
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}
