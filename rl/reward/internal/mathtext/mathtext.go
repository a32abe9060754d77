// Package mathtext reads mathematical answers in LaTeX or plain text and tells
// whether two of them are equal.
//
// A text goes through extraction (which part of it is the answer), the lexer,
// the parser (a tree of nodes) and the comparison, which works by structure for
// lists, sets, intervals, matrices and relations, and by a normal form of
// rational functions with radicals for numbers and expressions.
//
// Every stage has a budget instead of a time limit: bytes of text, tokens,
// depth, nodes, bits of a number, terms and steps of algebra. A text beyond a
// budget is an error that wraps ErrTooBig.
package mathtext

import (
	"errors"
	"fmt"
)

// The budgets.
const (
	maxText    = 512 << 10 // bytes at the end of a text that are searched for a box
	maxTail    = 16 << 10  // bytes at the end of a text that are searched for an answer without a box
	maxAnswer  = 4 << 10   // bytes of one answer
	maxTries   = 24        // passages of a text that are tried as the answer
	maxTokens  = 2048      // tokens of an answer
	maxDepth   = 64        // nested groups, signs and powers
	maxNodes   = 4096      // nodes of a tree, after ± has made two of it
	maxDigits  = 1000      // digits of a written number
	maxBits    = 4096      // bits of the numerator or denominator of a number
	maxPower   = 4096      // size of an exponent
	maxTerms   = 512       // terms of a polynomial
	maxMembers = 64        // members of a list or set that is compared without order
	maxSteps   = 40_000    // steps of one comparison
)

var (
	// ErrTooBig is wrapped by errors about texts beyond a budget.
	ErrTooBig = errors.New("too big")
	// ErrUndefined is wrapped by errors about values that do not exist, such as 1/0.
	ErrUndefined = errors.New("undefined")
	// ErrNoAnswer is wrapped by errors about texts in which no answer was found.
	ErrNoAnswer = errors.New("no answer")
)

// failure carries an error from deep inside a stage to its boundary.
type failure struct{ err error }

func fail(err error, format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)})
}

// caught turns a failure into an error; other panics go on.
func caught(err *error) {
	switch f := recover().(type) {
	case nil:
	case failure:
		*err = f.err
	default:
		panic(f)
	}
}
