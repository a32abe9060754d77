package reward

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
)

// The limits of EvalExpression. They limit its time and memory for any input: a value has at
// most as many digits as its expression, and the stack has at most four frames for each level
// of nesting.
const (
	maxExpressionBytes = 1024
	maxExpressionDepth = 100
	maxLiteralDigits   = 18 // fits an int64
)

// ErrDivisionByZero is wrapped by the error of EvalExpression for a well-formed
// expression that has no value.
var ErrDivisionByZero = errors.New("division by zero")

// EvalExpression evaluates an arithmetic expression exactly and returns the
// integers written in it, from left to right.
//
//	sum     = product { ("+" | "-") product }
//	product = factor { ("*" | "/") factor }
//	factor  = ("+" | "-") factor | integer | "(" sum ")"
//
// Spaces, tabs, newlines and carriage returns may stand between tokens. As in Python, signs
// may repeat, and an integer has no leading zero unless it is zero. There are no decimal
// points, no powers and no floor division. A sign is not part of an integer: numbers has 3 for
// "-3".
//
// Errors have the byte offset. If a well-formed expression divides by zero, the error wraps
// ErrDivisionByZero, and numbers is complete. It is an error if the expression is longer than
// 1,024 bytes, is nested deeper than 100 parentheses and signs, or has an integer with more
// than 18 digits.
func EvalExpression(expression string) (value *big.Rat, numbers []int, err error) {
	if len(expression) > maxExpressionBytes {
		return nil, nil, fmt.Errorf("expression of %d bytes, limit %d", len(expression), maxExpressionBytes)
	}
	p := parser{text: expression}
	value, err = p.sum()
	if err == nil && p.peek() != 0 {
		err = p.unexpected("an operator")
	}
	if err != nil {
		return nil, nil, err
	}
	if p.undefined != nil {
		return nil, p.numbers, p.undefined
	}
	return value, p.numbers, nil
}

// parser is a recursive-descent parser that evaluates as it goes.
type parser struct {
	text      string
	pos       int // next byte
	depth     int // open parentheses and signs
	numbers   []int
	undefined error // first division by zero; parsing continues, to find syntax errors
}

// peek skips white space and returns the next byte, or 0 at the end.
func (p *parser) peek() byte {
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\n', '\r':
		case 0:
			return 0xff // a NUL in the text must not look like its end
		default:
			return c
		}
	}
	return 0
}

func (p *parser) unexpected(want string) error {
	if p.pos >= len(p.text) {
		return fmt.Errorf("offset %d: expression ends where %s is expected", p.pos, want)
	}
	return fmt.Errorf("offset %d: %q where %s is expected", p.pos, p.text[p.pos], want)
}

func (p *parser) sum() (*big.Rat, error) {
	left, err := p.product()
	for err == nil {
		op := p.peek()
		if op != '+' && op != '-' {
			return left, nil
		}
		p.pos++
		var right *big.Rat
		if right, err = p.product(); err != nil {
			break
		}
		if op == '+' {
			left.Add(left, right)
		} else {
			left.Sub(left, right)
		}
	}
	return nil, err
}

func (p *parser) product() (*big.Rat, error) {
	left, err := p.factor()
	for err == nil {
		op := p.peek()
		if op != '*' && op != '/' {
			return left, nil
		}
		at := p.pos
		p.pos++
		var right *big.Rat
		if right, err = p.factor(); err != nil {
			break
		}
		switch {
		case op == '*':
			left.Mul(left, right)
		case right.Sign() != 0:
			left.Quo(left, right)
		case p.undefined == nil:
			p.undefined = fmt.Errorf("offset %d: %w", at, ErrDivisionByZero)
		}
	}
	return nil, err
}

func (p *parser) factor() (*big.Rat, error) {
	if p.depth >= maxExpressionDepth {
		return nil, fmt.Errorf("offset %d: nested deeper than %d", p.pos, maxExpressionDepth)
	}
	p.depth++
	defer func() { p.depth-- }()
	switch c := p.peek(); {
	case c == '+':
		p.pos++
		return p.factor()
	case c == '-':
		p.pos++
		value, err := p.factor()
		if err != nil {
			return nil, err
		}
		return value.Neg(value), nil
	case c == '(':
		p.pos++
		value, err := p.sum()
		if err != nil {
			return nil, err
		}
		if p.peek() != ')' {
			return nil, p.unexpected("an operator or )")
		}
		p.pos++
		return value, nil
	case isDigit(c):
		return p.integer()
	}
	return nil, p.unexpected("a number, a sign or (")
}

func (p *parser) integer() (*big.Rat, error) {
	start := p.pos
	for p.pos < len(p.text) && isDigit(p.text[p.pos]) {
		p.pos++
	}
	digits := p.text[start:p.pos]
	if len(digits) > maxLiteralDigits {
		return nil, fmt.Errorf("offset %d: integer of %d digits, limit %d", start, len(digits), maxLiteralDigits)
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w", start, err)
	}
	if digits[0] == '0' && n != 0 {
		return nil, fmt.Errorf("offset %d: leading zero in %s", start, digits)
	}
	p.numbers = append(p.numbers, n)
	return new(big.Rat).SetInt64(int64(n)), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
