package countdown

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"math/big"
	"regexp"
	"slices"
	"strconv"
)

// evaluate evaluates an expression with exact rationals and Go's expression parser,
// independently of the package.
func evaluate(text string) (*big.Rat, bool) {
	e, err := goparser.ParseExpr(text)
	if err != nil {
		return nil, false
	}
	return evaluateNode(e)
}

func evaluateNode(e ast.Expr) (*big.Rat, bool) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return evaluateNode(e.X)
	case *ast.BasicLit:
		return new(big.Rat).SetString(e.Value)
	case *ast.BinaryExpr:
		x, ok := evaluateNode(e.X)
		y, ok2 := evaluateNode(e.Y)
		if !ok || !ok2 {
			return nil, false
		}
		switch e.Op {
		case token.ADD:
			return x.Add(x, y), true
		case token.SUB:
			return x.Sub(x, y), true
		case token.MUL:
			return x.Mul(x, y), true
		case token.QUO:
			if y.Sign() == 0 {
				return nil, false
			}
			return x.Quo(x, y), true
		}
	}
	return nil, false
}

var (
	promptPattern = regexp.MustCompile(`^<bos>(\d+) (\d+) (\d+):`)
	// The target follows every result. In the prompt its end is not visible if <think> is
	// dropped.
	targetPattern = regexp.MustCompile(`\?(\d+)`)
	answerPattern = regexp.MustCompile(`<answer>(.*)</answer>`)
	numberPattern = regexp.MustCompile(`\d+`)
)

// numbers returns the numbers of a text, in ascending order.
func numbers(text string) []int {
	var all []int
	for _, s := range numberPattern.FindAllString(text, -1) {
		n, _ := strconv.Atoi(s)
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// correct checks an answer independently of the package: the text between the answer
// tags must use exactly the prompt's numbers and evaluate to its target.
func correct(text string) bool {
	prompt := promptPattern.FindStringSubmatch(text)
	answer := answerPattern.FindStringSubmatch(text)
	if prompt == nil || answer == nil {
		return false
	}
	given := numbers(prompt[1] + " " + prompt[2] + " " + prompt[3])
	target, _ := new(big.Rat).SetString(targetPattern.FindStringSubmatch(text)[1])
	value, ok := evaluate(answer[1])
	return ok && slices.Equal(given, numbers(answer[1])) && value.Cmp(target) == 0
}
