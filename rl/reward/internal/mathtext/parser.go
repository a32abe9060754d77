package mathtext

import (
	"errors"
	"math/big"
	"slices"
	"strings"
)

// errSyntax is wrapped by errors about texts that are not mathematics.
var errSyntax = errors.New("cannot be read")

// parser is a recursive-descent parser.
//
//	answer   = item { ("," | ";" | "and" | "or") item }
//	item     = sets { relation sets }
//	sets     = sum { ("∪" | "∩" | "∖") sum }
//	sum      = [sign] term { sign term }
//	term     = factor { ["*" | "/" | ":"] factor }
//	factor   = sign factor | primary { "!" | "%" | "°" | "'" | "_" group } [ "^" group ]
type parser struct {
	tokens []token
	pos    int
	depth  int
	nodes  int
	bars   int // number of open bars |
	units  bool
}

// parse parses a text that is only an answer, in LaTeX or plain text.
func parse(text string) (n *node, err error) {
	defer caught(&err)
	p := &parser{tokens: lex(text)}
	if p.peek().kind == tokEnd {
		fail(errSyntax, "an empty answer")
	}
	n = p.answer()
	if p.peek().kind != tokEnd {
		fail(errSyntax, "unexpected %v", p.peek())
	}
	n.units = p.units
	return n, nil
}

func (p *parser) peek() token { return p.at(0) }

func (p *parser) at(i int) token { return p.tokens[min(p.pos+i, len(p.tokens)-1)] }

func (p *parser) isOp(ops ...string) bool {
	t := p.peek()
	return t.kind == tokOp && slices.Contains(ops, t.text)
}

func (p *parser) accept(op string) bool {
	if p.isOp(op) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(op string) {
	if !p.accept(op) {
		fail(errSyntax, "%v where %q is wanted", p.peek(), op)
	}
}

// node counts n against maxNodes and returns it.
func (p *parser) node(n *node) *node {
	if p.nodes++; p.nodes > maxNodes {
		fail(ErrTooBig, "an answer of more than %d terms", maxNodes)
	}
	return n
}

// enter increments the depth of nesting and checks it. The caller must decrement p.depth.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		fail(ErrTooBig, "an answer nested deeper than %d", maxDepth)
	}
}

// answer parses a whole answer, or the condition of a set.
func (p *parser) answer() *node {
	items, separator := p.items()
	switch {
	case separator == ";":
		return p.node(&node{kind: tuple, args: items})
	case len(items) == 1:
		return items[0]
	}
	return p.node(&node{kind: list, args: items, text: separator})
}

// items parses items and their separators, and returns the last separator.
func (p *parser) items() (items []*node, separator string) {
	for {
		items = append(items, signs(p.item(), &p.nodes)...)
		switch {
		case p.isOp(",", "and"):
			p.pos++
			separator = ","
			if p.isOp("and", "or") { // as in 1, 2, and 3
				separator = p.peek().text
				p.pos++
			}
		case p.isOp("or", ";"):
			separator = p.peek().text
			p.pos++
		default:
			if len(items) > 1 && separator == "" {
				separator = ","
			}
			return items, separator
		}
		p.accept("ldots")
		if p.isOp(",") {
			p.pos++
		}
	}
}

var relations = map[string]string{
	"=": "=", "<": "<", ">": ">", "le": "≤", "ge": "≥", "ne": "≠", "approx": "≈", "equiv": "=", "in": "∈",
}

// item parses an expression or a chain of relations.
func (p *parser) item() *node {
	p.enter()
	defer func() { p.depth-- }()
	n := p.node(&node{kind: relation, args: []*node{p.sets()}})
	for p.peek().kind == tokOp && relations[p.peek().text] != "" {
		n.ops = append(n.ops, relations[p.peek().text])
		p.pos++
		n.args = append(n.args, p.sets())
	}
	// A value after ≈ is a rounded value. It is ignored if there is an exact value before it.
	if i := slices.Index(n.ops, "≈"); i >= 0 {
		if i == 0 && n.args[0].isName() {
			n.ops[0] = "="
		} else {
			n.ops, n.args = n.ops[:i], n.args[:i+1]
		}
	}
	if len(n.ops) == 0 {
		return n.args[0]
	}
	return n
}

func (p *parser) sets() *node {
	n := p.sum()
	for p.isOp("cup", "cap", "setminus") {
		op := map[string]string{"cup": "∪", "cap": "∩", "setminus": "∖"}[p.peek().text]
		p.pos++
		n = p.node(&node{kind: setOp, text: op, args: []*node{n, p.sum()}})
	}
	return n
}

func (p *parser) sum() *node {
	p.enter()
	defer func() { p.depth-- }()
	var n *node
	if p.isOp("pm", "mp") { // ± without a left operand
		n = p.node(intNode(0))
	} else {
		n = p.term()
	}
	for {
		op := p.peek()
		switch {
		case p.isOp("+", "-"):
			p.pos++
			m := p.term()
			switch {
			case op.text == "-" && n.kind == symbol && numberSets[n.text]:
				n = p.node(&node{kind: setOp, text: "∖", args: []*node{n, m}})
				continue
			case op.text == "-":
				m = p.node(&node{kind: negation, args: []*node{m}})
			}
			if n.kind == sum {
				n.args = append(n.args, m)
			} else {
				n = p.node(&node{kind: sum, args: []*node{n, m}})
			}
		case p.isOp("pm", "mp"):
			p.pos++
			text := ""
			if op.text == "mp" {
				text = "∓"
			}
			n = p.node(&node{kind: plusMinus, text: text, args: []*node{n, p.term()}})
		default:
			return n
		}
	}
}

func (p *parser) term() *node {
	n := p.factor()
	for {
		switch {
		case p.isOp("*"):
			p.pos++
			n = p.times(n, p.factor())
		case p.isOp("/"):
			p.pos++
			if p.unit() { // as in km/h
				continue
			}
			n = p.node(&node{kind: quotient, args: []*node{n, p.factor()}})
		case p.isOp(":") && p.ratioFollows():
			p.pos++
			m := p.factor()
			if n.kind == ratio {
				n.args = append(n.args, m)
			} else {
				n = p.node(&node{kind: ratio, args: []*node{n, m}})
			}
		case p.unit():
		case n.kind != word && p.beginsFactor():
			n = p.times(n, p.primaryPower())
		default:
			return n
		}
	}
}

// ratioFollows reports whether a colon is that of a ratio, not that of {x : x > 0}.
func (p *parser) ratioFollows() bool {
	for i := 1; ; i++ {
		t := p.at(i)
		if t.kind == tokEnd || t.kind == tokOp && (t.text == "," || t.text == `\}` || t.text == ")") {
			return true
		}
		if t.kind == tokOp && relations[t.text] != "" {
			return false
		}
	}
}

func (p *parser) times(n, m *node) *node {
	if n.kind == product {
		n.args = append(n.args, m)
		return n
	}
	return p.node(&node{kind: product, args: []*node{n, m}})
}

// closers holds commands that close a group.
var closers = wordSet(`end rfloor rceil rangle`)

// beginsFactor reports whether the next token begins a factor without a multiplication sign.
func (p *parser) beginsFactor() bool {
	t := p.peek()
	switch t.kind {
	case tokNumber:
		// x2 and )2 are products, but 2 3 and 2 apples 3 are not.
		before := p.tokens[p.pos-1].kind
		return before == tokLetter || before == tokOp
	case tokLetter:
		return true
	case tokCommand:
		return !closers[t.text]
	case tokOp:
		return t.text == "(" || t.text == "{" || t.text == "|" && p.bars == 0
	}
	return false
}

func (p *parser) factor() *node {
	p.enter()
	defer func() { p.depth-- }()
	switch {
	case p.accept("+"):
		return p.factor()
	case p.accept("-"):
		// −ab is parsed as −(ab), which has the same value.
		return p.node(&node{kind: negation, args: []*node{p.factor()}})
	}
	return p.primaryPower()
}

// primaryPower parses a primary with its postfix operators, subscripts and exponents.
func (p *parser) primaryPower() *node {
	n := p.primary()
	for {
		switch {
		case p.accept("!"):
			n = p.node(callNode("!", n))
		case p.accept("%"):
			n = p.node(&node{kind: percent, args: []*node{n}})
		case p.accept("degree"):
			p.units = true
			if t := p.peek(); t.kind == tokLetter && (t.text == "C" || t.text == "F") {
				p.pos++
			}
		case p.accept("'"):
			if n.kind == symbol {
				n = p.node(symbolNode(n.text + "'"))
			}
		case p.isOp("_"):
			p.pos++
			n = p.subscript(n)
		case p.accept("^"):
			if p.dropped() {
				continue
			}
			n = p.node(&node{kind: power, args: []*node{n, p.exponent()}})
		default:
			return n
		}
	}
}

// dropped skips the exponents \circ and \prime and reports whether there was one.
func (p *parser) dropped() bool {
	start := p.pos
	braced := p.accept("{")
	if p.isOp("degree", "'") {
		p.units = true
		p.pos++
		if !braced || p.accept("}") {
			return true
		}
	}
	p.pos = start
	return false
}

// exponent parses an exponent: a group, or a number, letter or root with its own exponent.
func (p *parser) exponent() *node {
	p.enter()
	defer func() { p.depth-- }()
	if p.accept("-") {
		return p.node(&node{kind: negation, args: []*node{p.exponent()}})
	}
	p.accept("+")
	n := p.primary()
	if p.accept("^") {
		n = p.node(&node{kind: power, args: []*node{n, p.exponent()}})
	}
	return n
}

// subscript parses a subscript. For a symbol it is a part of the name, for a number the base.
func (p *parser) subscript(n *node) *node {
	start := p.pos
	m := p.primary()
	var b strings.Builder
	for _, t := range p.tokens[start:p.pos] {
		if t.text != "{" && t.text != "}" {
			b.WriteString(t.text)
		}
	}
	switch {
	case n.kind == number || n.kind == word || n.kind == product || n.kind == call:
		return p.node(&node{kind: based, text: p.writing(start - 1), args: []*node{m}})
	case n.kind == symbol:
		return p.node(symbolNode(n.text + "_" + b.String()))
	}
	fail(errSyntax, "a subscript %q where none can be", b.String())
	return nil
}

// writing returns the digits and letters directly before the token at end.
func (p *parser) writing(end int) string {
	start := end
	for start > 0 {
		t := p.tokens[start-1]
		if t.kind != tokNumber && t.kind != tokLetter && t.kind != tokWord && t.kind != tokText {
			break
		}
		start--
	}
	var b strings.Builder
	for _, t := range p.tokens[start:end] {
		b.WriteString(strings.ToLower(t.text))
	}
	return b.String()
}

// mixed parses the fraction of a mixed number such as 3½, or returns n.
func (p *parser) mixed(n *node, digits string) *node {
	t := p.peek()
	var f *big.Rat
	switch {
	case strings.ContainsAny(digits, ".eE"):
		return n
	case t.kind == tokNumber && t.vulgar:
		f = t.num
		p.pos++
	case t.kind == tokNumber && t.spaced && p.at(1).text == "/" && p.at(2).kind == tokNumber &&
		t.num.IsInt() && p.at(2).num.IsInt() && p.at(2).num.Sign() > 0 && !p.at(1).spaced && !p.at(2).spaced:
		f = new(big.Rat).Quo(t.num, p.at(2).num)
		p.pos += 3
	case t.kind == tokCommand && t.text == "frac":
		start := p.pos
		m := p.primary()
		if m.kind != quotient || m.args[0].kind != number || m.args[1].kind != number ||
			!m.args[0].num.IsInt() || !m.args[1].num.IsInt() || m.args[1].num.Sign() == 0 {
			p.pos = start
			return n
		}
		f = new(big.Rat).Quo(m.args[0].num, m.args[1].num)
	default:
		return n
	}
	return p.node(numberNode(f.Add(f, n.num)))
}
