package countdown

import (
	"cmp"
	"slices"
	"strings"
)

// Counts holds the numbers of search tokens in a completion.
type Counts struct {
	No, Yes, Wait int // self-check words
	Tries         int // results that are compared with the target: "?" tokens
}

// Count counts the search tokens of a token sequence.
func Count(tokens []int32) Counts {
	var c Counts
	for _, id := range tokens {
		switch id {
		case No:
			c.No++
		case Yes:
			c.Yes++
		case Wait:
			c.Wait++
		case Question:
			c.Tries++
		}
	}
	return c
}

// Answer returns the last text between <answer> and </answer> in a normal form that
// serves as a vote for maj@k: sums and products are flattened and their operands
// sorted, so that 19-16+29 and 29-(16-19) both become 19+29-16. It returns "" if there
// is no such text or if it is not an expression of numbers, + - * / and parentheses.
func Answer(tokens []int32) string {
	end := -1
	for i := len(tokens) - 1; i >= 0; i-- {
		switch {
		case tokens[i] == AnswerClose && end < 0:
			end = i
		case tokens[i] == AnswerOpen && end >= 0:
			return normalise(tokens[i+1 : end])
		}
	}
	return ""
}

// normalise returns the normal form of an expression, or "".
func normalise(tokens []int32) string {
	p := parser{tokens}
	e, ok := p.chain(Plus, Minus, p.product)
	if !ok || len(p.rest) > 0 {
		return ""
	}
	return e.String()
}

// term is a number, or a flattened sum or product of operands in normal form.
type term struct {
	op       int32    // Digit0 for a number, Plus for a sum, Times for a product
	pos, neg []string // pos - neg, or pos / neg; a number is pos[0]
}

// String returns the normal form.
func (t term) String() string {
	order := func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	}
	slices.SortFunc(t.pos, order)
	slices.SortFunc(t.neg, order)
	join, inverse := "+", "-"
	if t.op == Times {
		join, inverse = "*", "/"
	}
	s := strings.Join(t.pos, join)
	for _, n := range t.neg {
		s += inverse + n
	}
	return s
}

// operands returns t's operands if t has the operator op; otherwise t is the only
// operand.
func (t term) operands(op int32) (pos, neg []string) {
	switch {
	case t.op == op:
		return t.pos, t.neg
	case op == Times && t.op == Plus:
		return []string{"(" + t.String() + ")"}, nil
	default:
		return []string{t.String()}, nil
	}
}

// parser parses an expression by recursive descent. Its methods return false if the
// tokens are not an expression.
type parser struct {
	rest []int32
}

// peek returns the next token, or Pad at the end.
func (p *parser) peek() int32 {
	if len(p.rest) == 0 {
		return Pad
	}
	return p.rest[0]
}

// chain parses operands joined by op or its inverse.
func (p *parser) chain(op, inverse int32, operand func() (term, bool)) (term, bool) {
	t, ok := operand()
	for ok && (p.peek() == op || p.peek() == inverse) {
		inverted := p.peek() == inverse
		p.rest = p.rest[1:]
		var next term
		if next, ok = operand(); !ok {
			break
		}
		pos, neg := t.operands(op)
		nextPos, nextNeg := next.operands(op)
		if inverted {
			nextPos, nextNeg = nextNeg, nextPos
		}
		t = term{op, slices.Concat(pos, nextPos), slices.Concat(neg, nextNeg)}
	}
	return t, ok
}

// product parses factors joined by * and /.
func (p *parser) product() (term, bool) { return p.chain(Times, Divide, p.factor) }

// factor parses a number or an expression in parentheses.
func (p *parser) factor() (term, bool) {
	if p.peek() == ParenOpen {
		p.rest = p.rest[1:]
		t, ok := p.chain(Plus, Minus, p.product)
		if !ok || p.peek() != ParenClose {
			return term{}, false
		}
		p.rest = p.rest[1:]
		return t, true
	}
	n := 0
	for n < len(p.rest) && p.rest[n] >= Digit0 {
		n++
	}
	if n == 0 {
		return term{}, false
	}
	digits := strings.TrimLeft(Decode(p.rest[:n]), "0")
	p.rest = p.rest[n:]
	return term{Digit0, []string{cmp.Or(digits, "0")}, nil}, true
}
