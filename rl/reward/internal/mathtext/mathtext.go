// Package mathtext parses mathematical answers in LaTeX or plain text and decides whether two
// of them are equal.
//
// It extracts the answer from a text, splits it into tokens, parses these into a tree of nodes
// and compares two trees. Lists, sets, intervals, matrices and relations are compared by their
// structure. Numbers and expressions are compared by a normal form, a rational function with
// radicals.
//
// Every stage has a budget instead of a time limit: bytes of text, tokens, depth, nodes, bits
// of a number, terms and steps of algebra. If a text exceeds a budget, the error wraps
// ErrTooBig.
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
	maxTries   = 24        // parts of a text that are tried as the answer
	maxTokens  = 2048      // tokens of an answer
	maxDepth   = 64        // nested groups, signs and powers
	maxNodes   = 4096      // nodes of a tree, after each ± has doubled it
	maxDigits  = 1000      // digits of a written number
	maxBits    = 4096      // bits of the numerator or denominator of a number
	maxPower   = 4096      // size of an exponent
	maxTerms   = 512       // terms of a polynomial
	maxMembers = 64        // members of a list or set that is compared in any order
	maxSteps   = 40_000    // steps of one comparison
)

var (
	// ErrTooBig is wrapped by errors about texts that exceed a budget.
	ErrTooBig = errors.New("too big")
	// ErrUndefined is wrapped by errors about values that do not exist, such as 1/0.
	ErrUndefined = errors.New("undefined")
	// ErrNoAnswer is wrapped by errors about texts in which no answer was found.
	ErrNoAnswer = errors.New("no answer")
)

// failure is the value of a panic that carries an error to the entry point of a stage.
type failure struct{ err error }

func fail(err error, format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)})
}

// caught recovers from a panic with a failure and sets err; other panics continue.
func caught(err *error) {
	switch f := recover().(type) {
	case nil:
	case failure:
		*err = f.err
	default:
		panic(f)
	}
}
