package reward

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExpressionValues(t *testing.T) {
	for _, c := range []struct {
		text, value string
		numbers     []int
	}{
		{"7", "7", []int{7}},
		{"1+2*3", "7", []int{1, 2, 3}},
		{"(1+2)*3", "9", []int{1, 2, 3}},
		{"10-4-3", "3", []int{10, 4, 3}},
		{"24/4/2", "3", []int{24, 4, 2}},
		{"24/(4/2)", "12", []int{24, 4, 2}},
		{"7/2", "7/2", []int{7, 2}},
		{"1/3*3", "1", []int{1, 3, 3}},
		{" ( 1\t+ 2 ) /\n3 ", "1", []int{1, 2, 3}},
		{"-3", "-3", []int{3}},
		{"3--2", "5", []int{3, 2}},
		{"3*-2", "-6", []int{3, 2}},
		{"-2*-+-3", "-6", []int{2, 3}},
		{"-(1-4)/2", "3/2", []int{1, 4, 2}},
		{"0+00", "0", []int{0, 0}},
		{"999999999999999999+1", "1000000000000000000", []int{999999999999999999, 1}},
	} {
		value, numbers, err := EvalExpression(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if value.RatString() != c.value || !slices.Equal(numbers, c.numbers) {
			t.Errorf("%q = %s with %d, want %s with %d", c.text, value.RatString(), numbers, c.value, c.numbers)
		}
	}
}

func TestMalformedExpressionsAreRefusedAtTheirOffset(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "offset 0: expression ends",
		"  ":                    "offset 2: expression ends",
		"3**2":                  "offset 2: '*'", // Python's power
		"7//2":                  "offset 2: '/'", // Python's floor division
		"1.5*2":                 "offset 1: '.'", // not a use of 1 and 5
		"19.":                   "offset 2: '.'",
		"1+":                    "offset 2: expression ends",
		"(1+2":                  "offset 4: expression ends",
		"1+2)":                  "offset 3: ')'",
		"()":                    "offset 1: ')'",
		"(3)(4)":                "offset 3: '('",
		"1 2":                   "offset 2: '2'",
		"07+1":                  "offset 0: leading zero",
		"1=1":                   "offset 1: '='",
		"x":                     "offset 0: 'x'",
		"1\x00":                 "offset 1: '\\x00'",
		"٣":                     "offset 0:",
		"1/0+":                  "offset 4: expression ends", // a syntax error, although the value is undefined too
		strings.Repeat("9", 19): "19 digits",
	} {
		value, numbers, err := EvalExpression(text)
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrDivisionByZero) {
			t.Errorf("%q: value %v, error %v, want one with %q", text, value, err, want)
		}
		if value != nil || numbers != nil {
			t.Errorf("%q: value %v and numbers %d with an error", text, value, numbers)
		}
	}
}

func TestDivisionByZeroKeepsTheNumbers(t *testing.T) {
	value, numbers, err := EvalExpression("5/(3-2-1)*4")
	if value != nil || !errors.Is(err, ErrDivisionByZero) || !strings.Contains(err.Error(), "offset 1") {
		t.Errorf("value %v, error %v, want division by zero at offset 1", value, err)
	}
	if !slices.Equal(numbers, []int{5, 3, 2, 1, 4}) {
		t.Errorf("numbers %d, want all five", numbers)
	}
}

func TestExpressionLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("(", n) + "1" + strings.Repeat(")", n) }
	for text, ok := range map[string]bool{
		nested(maxExpressionDepth - 1):                  true,
		nested(maxExpressionDepth):                      false,
		strings.Repeat("-", maxExpressionDepth-1) + "1": true,
		strings.Repeat("-", maxExpressionDepth) + "1":   false,
		strings.Repeat("(", maxExpressionBytes):         false,
		strings.Repeat("1+", 511) + "11":                true,
		strings.Repeat("1+", 512) + "1":                 false, // 1,025 bytes
	} {
		if _, _, err := EvalExpression(text); (err == nil) != ok {
			t.Errorf("%.20q… of %d bytes: error %v", text, len(text), err)
		}
	}
}

// node is an expression tree. The tests evaluate and print it without the parser.
type node struct {
	op          byte // '+', '-', '*', '/', 'n' for a sign, 0 for a number
	number      int
	left, right *node
}

func drawNode(t *rapid.T, depth int) *node {
	ops := []byte{0, '+', '-', '*', '/', 'n'}
	if depth == 0 {
		ops = ops[:1]
	}
	n := &node{op: rapid.SampledFrom(ops).Draw(t, "op")}
	switch n.op {
	case 0:
		n.number = rapid.IntRange(0, 12).Draw(t, "number")
	case 'n':
		n.left = drawNode(t, depth-1)
	default:
		n.left, n.right = drawNode(t, depth-1), drawNode(t, depth-1)
	}
	return n
}

// value returns the value of the tree, or nil if it divides by zero.
func (n *node) value() *big.Rat {
	if n.op == 0 {
		return big.NewRat(int64(n.number), 1)
	}
	l := n.left.value()
	if n.op == 'n' {
		if l == nil {
			return nil
		}
		return new(big.Rat).Neg(l)
	}
	r := n.right.value()
	if l == nil || r == nil || n.op == '/' && r.Sign() == 0 {
		return nil
	}
	switch n.op {
	case '+':
		return new(big.Rat).Add(l, r)
	case '-':
		return new(big.Rat).Sub(l, r)
	case '*':
		return new(big.Rat).Mul(l, r)
	}
	return new(big.Rat).Mul(l, new(big.Rat).Inv(r))
}

func (n *node) numbers() []int {
	if n == nil {
		return nil
	}
	if n.op == 0 {
		return []int{n.number}
	}
	return append(n.left.numbers(), n.right.numbers()...)
}

var precedence = map[byte]int{'+': 1, '-': 1, '*': 2, '/': 2, 'n': 3, 0: 3}

// print prints the tree with the parentheses that precedence and left associativity require,
// and further ones if extra returns true.
func (n *node) print(extra func() bool, blank func() string) string {
	wrap := func(child *node, need bool) string {
		s := child.print(extra, blank)
		if need || extra() {
			s = "(" + blank() + s + blank() + ")"
		}
		return s
	}
	switch n.op {
	case 0:
		return fmt.Sprint(n.number)
	case 'n':
		return "-" + blank() + wrap(n.left, precedence[n.left.op] < 3)
	}
	p := precedence[n.op]
	return wrap(n.left, precedence[n.left.op] < p) + blank() + string(n.op) + blank() + wrap(n.right,
		precedence[n.right.op] <= p && n.right.op != 0 && n.right.op != 'n')
}

func TestPrintedTreesEvaluateToTheirValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawNode(t, 5)
		extra := func() bool { return rapid.IntRange(0, 4).Draw(t, "extra parentheses") == 0 }
		blank := func() string { return rapid.SampledFrom([]string{"", "", " ", "\t", "\n"}).Draw(t, "blank") }
		text := tree.print(extra, blank)
		if len(text) > maxExpressionBytes {
			t.Skip("too long")
		}
		value, numbers, err := EvalExpression(text)
		if want := tree.numbers(); !slices.Equal(numbers, want) {
			t.Errorf("%q has the numbers %d, want %d", text, numbers, want)
		}
		want := tree.value()
		if want == nil {
			if !errors.Is(err, ErrDivisionByZero) {
				t.Errorf("%q: value %v, error %v, want division by zero", text, value, err)
			}
			return
		}
		if err != nil || value.Cmp(want) != 0 {
			t.Errorf("%q = %v, error %v, want %v", text, value, err, want)
		}
	})
}

func FuzzEvalExpression(f *testing.F) {
	for _, seed := range []string{
		"19-16+29", "(1 + 2) / 3", "-3*-(4-+5)", "3**2", "7//2", "1.5*2", "1/0", "07", "()", "(3)(4)",
		"((((((((1))))))))", "999999999999999999*999999999999999999", "1\x00", "٣+1", "<answer>", strings.Repeat("-", 101),
		strings.Repeat("9/7+", 255) + "1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, numbers, err := EvalExpression(text)
		if err != nil {
			if value != nil {
				t.Fatalf("%q: value %v with error %v", text, value, err)
			}
			return
		}
		if strings.Trim(text, "0123456789+-*/() \t\r\n") != "" || len(numbers) == 0 {
			t.Fatalf("%q accepted, with numbers %d", text, numbers)
		}
		// Numerator and denominator have at most as many digits as the text; a sum may have one
		// more, for which the text has the sign.
		for _, n := range []string{value.Num().String(), value.Denom().String()} {
			if len(n) > len(text)+1 {
				t.Fatalf("%q: %s has %d digits, more than it can", text, n, len(n))
			}
		}
		// In -( ) the expression must have the negative value, unless it exceeds a limit.
		negated, again, err := EvalExpression("-(" + text + ")")
		if err != nil {
			if len(text)+3 <= maxExpressionBytes && !strings.Contains(err.Error(), "nested") {
				t.Fatalf("%q evaluates, but not in -( ): %v", text, err)
			}
			return
		}
		if negated.Neg(negated).Cmp(value) != 0 || !slices.Equal(again, numbers) {
			t.Fatalf("%q = %v with %d, but -( ) gives %v with %d", text, value, numbers, negated, again)
		}
	})
}
