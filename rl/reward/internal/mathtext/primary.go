package mathtext

import (
	"math/big"
	"slices"
	"strings"
)

// functions holds the functions of one argument that need no parentheses.
var functions = wordSet(`sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp abs
	floor ceil det arg`)

// several holds the functions with a list of arguments.
var several = wordSet(`max min gcd lcm`)

// applied holds the letters that are functions if a parenthesis follows.
var applied = map[string]bool{"f": true, "g": true, "h": true}

// inverse maps a function to its inverse, which it denotes with an exponent of −1.
var inverse = map[string]string{"sin": "arcsin", "cos": "arccos", "tan": "arctan"}

// primary parses a number, a name, a bracket or a command with its arguments.
func (p *parser) primary() *node {
	p.enter()
	defer func() { p.depth-- }()
	t := p.peek()
	p.pos++
	switch t.kind {
	case tokNumber:
		n := p.node(&node{kind: number, num: t.num, decimal: t.decimal})
		if t.decimal {
			return p.repeating(n, t)
		}
		if t.num.IsInt() && !t.vulgar {
			return p.mixed(n, t.text)
		}
		return n
	case tokLetter:
		if applied[t.text] && p.isOp("(") {
			p.pos++
			args, _ := p.items()
			p.expect(")")
			return p.node(callNode(t.text, args...))
		}
		return p.node(symbolNode(t.text))
	case tokWord, tokText:
		return p.words(t)
	case tokCommand:
		return p.command(t.text)
	case tokOp:
		return p.bracket(t)
	}
	fail(errSyntax, "unexpected %v", t)
	return nil
}

// repeating parses the bar over repeating digits, as in 0.1\overline{6}.
func (p *parser) repeating(n *node, t token) *node {
	if !t.decimal || p.peek().kind != tokCommand || p.peek().text != "overline" {
		return n
	}
	braced := p.at(1).text == "{"
	p.pos += 1 + map[bool]int{true: 1}[braced]
	period := p.peek()
	if period.kind != tokNumber {
		fail(errSyntax, "%v where repeating digits are wanted", period)
	}
	p.pos++
	if braced {
		p.expect("}")
	}
	return p.node(repeat(t, period.text))
}

// repeat returns the number with the digits of t and then period, repeated forever.
func repeat(t token, period string) *node {
	if len(period) > maxDigits/2 || digits(period) != len(period) {
		fail(errSyntax, "repeating digits %.20q", period)
	}
	_, fraction, _ := strings.Cut(t.text, ".")
	r, _ := new(big.Rat).SetString(period)
	ten := big.NewInt(10)
	scale := new(big.Int).Exp(ten, big.NewInt(int64(len(period))), nil)
	scale.Sub(scale, big.NewInt(1))
	scale.Mul(scale, new(big.Int).Exp(ten, big.NewInt(int64(len(fraction))), nil))
	r.Quo(r, new(big.Rat).SetInt(scale))
	return numberNode(r.Add(r, t.num))
}

// words parses words in the place of a value.
func (p *parser) words(t token) *node {
	text := t.text
	for {
		switch n := p.peek(); {
		case n.kind == tokWord || n.kind == tokText || n.kind == tokLetter:
			text += " " + n.text
		case n.kind == tokOp && (n.text == "-" || n.text == "'") && p.at(1).kind == tokWord:
			text += " "
		default:
			return p.node(&node{kind: word, text: text})
		}
		p.pos++
	}
}

// bracket parses a primary that begins with an operator or bracket.
func (p *parser) bracket(t token) *node {
	bars := p.bars
	switch t.text {
	case "|":
		p.bars++
		n := p.sum()
		p.expect("|")
		p.bars = bars
		return p.node(callNode("abs", n))
	case "(", "[", "]":
		p.bars = 0
		n := p.parenthesis(t.text)
		p.bars = bars
		return n
	case "{", `\{`:
		p.bars = 0
		n := p.braces(t.text)
		p.bars = bars
		return n
	}
	fail(errSyntax, "unexpected %v", t)
	return nil
}

// parenthesis parses a group, tuple or interval after its opening bracket.
func (p *parser) parenthesis(open string) *node {
	if open == "(" && p.accept(")") {
		return p.node(&node{kind: tuple})
	}
	items, separator := p.items()
	var end string
	for _, c := range []string{")", "]", "["} {
		if end == "" && p.accept(c) {
			end = c
		}
	}
	if end == "" || open == "]" && len(items) != 2 || end == "[" && len(items) != 2 {
		fail(errSyntax, "a bracket %q that nothing closes", open)
	}
	switch {
	case len(items) == 1:
		if open != "(" && open != "[" || (open == "(") != (end == ")") {
			fail(errSyntax, "brackets %s%s around one value", open, end)
		}
		if items[0].kind == relation || !items[0].isScalar() {
			return items[0]
		}
		return items[0].closed()
	case len(items) == 2 && (separator == "," || separator == ";"):
		return p.node(&node{kind: interval, args: items, openLeft: open != "[", openEnd: end != "]"})
	case (open == "(") != (end == ")") || separator != "," && separator != ";":
		fail(errSyntax, "brackets %s%s around %d values", open, end, len(items))
	}
	return p.node(&node{kind: tuple, args: items})
}

// closed makes a product or sum in parentheses a separate node, so that following factors and
// terms are not added to it.
func (n *node) closed() *node {
	if n.kind != product && n.kind != sum && n.kind != ratio {
		return n
	}
	c := *n
	c.args = slices.Clip(n.args)
	return &node{kind: sum, args: []*node{&c}}
}

// braces parses a LaTeX group or a set after its opening brace.
func (p *parser) braces(open string) *node {
	end := map[string]string{"{": "}", `\{`: `\}`}[open]
	if p.accept(end) {
		if open == "{" && !p.isOp("}") && p.pos > 2 { // an empty LaTeX group
			return p.node(intNode(1))
		}
		return p.node(&node{kind: set})
	}
	items, separator := p.builder()
	p.expect(end)
	if len(items) == 1 && items[0].kind == relation && open == `\{` && separator == "|" {
		return items[0]
	}
	if len(items) == 1 && open == "{" {
		return items[0].closed()
	}
	if separator == "|" {
		return p.node(&node{kind: list, args: items, text: ","})
	}
	return p.node(&node{kind: set, args: items})
}

// builder parses the members of a set or a set-builder notation {x | …}. For the latter it
// returns the condition and the separator "|".
func (p *parser) builder() (items []*node, separator string) {
	p.bars++ // a bar does not begin a factor here
	start := p.pos
	depth, condition := 0, -1
	for i := start; p.tokens[i].kind != tokEnd && condition < 0; i++ {
		if t := p.tokens[i]; t.kind == tokOp {
			switch t.text {
			case "{", `\{`, "(", "[":
				depth++
			case "}", `\}`, ")", "]":
				if depth--; depth < 0 {
					condition = start
				}
			case "|", ":":
				if depth == 0 && i > start {
					condition = i
				}
			case ",":
				if depth == 0 {
					condition = start
				}
			}
		}
	}
	if condition > start {
		variable := p.item()
		if p.pos == condition && (variable.isName() || variable.kind == relation && variable.ops[0] == "∈") {
			p.pos++
			p.bars--
			items, _ = p.items()
			return items, "|"
		}
		p.pos = start
	}
	p.bars--
	return p.items()
}

// command parses the arguments of a command.
func (p *parser) command(name string) *node {
	switch name {
	case "frac":
		a := p.primary()
		return p.node(&node{kind: quotient, args: []*node{a, p.primary()}})
	case "binom":
		a := p.primary()
		return p.node(callNode("binom", a, p.primary()))
	case "sqrt":
		return p.root()
	case "boxed", "overline", "vec", "hat", "overrightarrow", "widehat", "tilde", "mathop":
		return p.primary()
	case "emptyset":
		return p.node(&node{kind: set})
	case "R", "Z", "N", "Q", "C":
		return p.node(symbolNode(`\` + name))
	case "angle", "triangle", "therefore":
		return p.primary()
	case "lfloor", "lceil":
		end := map[string]string{"lfloor": "rfloor", "lceil": "rceil"}[name]
		n := p.sum()
		if p.peek().text != end {
			fail(errSyntax, "%v where \\%s is wanted", p.peek(), end)
		}
		p.pos++
		return p.node(callNode(map[string]string{"lfloor": "floor", "lceil": "ceil"}[name], n))
	case "langle":
		items, _ := p.items()
		if p.peek().text != "rangle" {
			fail(errSyntax, "%v where \\rangle is wanted", p.peek())
		}
		p.pos++
		if len(items) == 2 {
			return p.node(&node{kind: interval, args: items, openLeft: true, openEnd: true})
		}
		return p.node(&node{kind: tuple, args: items})
	case "begin":
		return p.environment()
	}
	if several[name] {
		braced := p.accept("{")
		if !braced {
			p.expect("(")
		}
		items, _ := p.items()
		p.expect(map[bool]string{true: "}", false: ")"}[braced])
		return p.node(callNode(name, items...))
	}
	if functions[name] {
		return p.function(name)
	}
	fail(errSyntax, "the command \\%s", name)
	return nil
}

// root parses \sqrt{…}, \sqrt[n]{…}, sqrt(…) and √ before a single value.
func (p *parser) root() *node {
	index := (*node)(nil)
	if p.accept("[") {
		index = p.sum()
		p.expect("]")
	}
	n := p.primary()
	if index == nil {
		return p.node(callNode("root", n, p.node(intNode(2))))
	}
	return p.node(callNode("root", n, index))
}

// function parses the exponent, base and argument of a named function.
func (p *parser) function(name string) *node {
	var exponent, base *node
	for {
		if p.accept("^") {
			exponent = p.exponent()
		} else if p.accept("_") {
			base = p.primary()
		} else {
			break
		}
	}
	if exponent != nil && exponent.kind == negation && exponent.args[0].kind == number && inverse[name] != "" {
		name, exponent = inverse[name], nil
	}
	n := callNode(name, p.operand())
	if base != nil {
		if name != "log" {
			fail(errSyntax, "a subscript of \\%s", name)
		}
		n.args = append(n.args, base)
	}
	p.node(n)
	if exponent != nil {
		n = p.node(&node{kind: power, args: []*node{n, exponent}})
	}
	return n
}

// operand parses the argument of a function without parentheses: the factors up to the next
// sign or function.
func (p *parser) operand() *node {
	p.enter()
	defer func() { p.depth-- }()
	if p.isOp("-") {
		return p.factor()
	}
	parenthesised := p.isOp("(", "{", "|")
	n := p.primaryPower()
	for !parenthesised && p.beginsFactor() && !(p.peek().kind == tokCommand && functions[p.peek().text]) {
		n = p.times(n, p.primaryPower())
	}
	if p.isOp("/") && !parenthesised && p.at(1).kind == tokNumber { // sin π/3
		p.pos++
		n = p.node(&node{kind: quotient, args: []*node{n, p.primary()}})
	}
	return n
}

// environment parses \begin{pmatrix} … \end{pmatrix} and similar environments.
func (p *parser) environment() *node {
	name := p.name()
	if name == "array" && p.isOp("{") { // the specification of columns
		for !p.accept("}") {
			if p.peek().kind == tokEnd {
				fail(errSyntax, "columns of an array that do not end")
			}
			p.pos++
		}
	} else if !strings.HasSuffix(name, "matrix") && name != "array" {
		fail(errSyntax, "the environment %q", name)
	}
	m := p.node(&node{kind: matrix})
	width := 0
	for {
		if p.peek().kind == tokCommand && p.peek().text == "end" {
			break
		}
		m.args = append(m.args, p.item())
		width++
		if p.accept("&") {
			continue
		}
		if m.width == 0 {
			m.width = width
		}
		if width != m.width {
			fail(errSyntax, "a matrix with rows of %d and %d values", m.width, width)
		}
		width = 0
		if !p.accept(`\\`) {
			break
		}
	}
	if p.peek().kind != tokCommand || p.peek().text != "end" {
		fail(errSyntax, "%v in a matrix", p.peek())
	}
	p.pos++
	if end := p.name(); end != name || len(m.args) == 0 {
		fail(errSyntax, "\\end{%s} of %s", end, name)
	}
	if name == "vmatrix" {
		return p.node(callNode("det", m))
	}
	return m
}

// name parses the name of an environment in braces.
func (p *parser) name() string {
	p.expect("{")
	t := p.peek()
	p.pos++
	p.expect("}")
	return t.text
}
