package code

import (
	"encoding/json"
	"fmt"
	"go/token"
	"math"
	"strings"
)

// Language is a programming language.
type Language string

// The supported languages.
const (
	Python Language = "python"
	Go     Language = "go"
)

// Problem is a programming problem with tests. A Verifier expects it in Sample.Answer.
type Problem struct {
	Language Language `json:"language"`
	// Function is the name of the function that tests call. In Go it is a function of package
	// main; in Python a function of the module or "Class.method", where the class is
	// instantiated without arguments. If "", tests run the program with standard input.
	Function string `json:"function,omitempty"`
	Tests    []Test `json:"tests"` // at least one
	// Tolerance is the maximum difference of numbers from the expected ones, relative to
	// max(1, |expected|). If 0, numbers must have equal values; an integer may equal a float.
	Tolerance float64 `json:"tolerance,omitempty"`
}

// Test is one run of a program. It uses Args and Want if there is a Function, otherwise Stdin
// and Stdout.
type Test struct {
	Stdin string `json:"stdin,omitempty"`
	// Stdout is the expected output. It is compared line by line; white space at the ends of
	// lines and empty lines at the end are ignored. With a Tolerance it is compared word by
	// word.
	Stdout string `json:"stdout,omitempty"`
	// Args is a JSON array of the arguments, such as [[1,2],"x"].
	Args json.RawMessage `json:"args,omitempty"`
	// Want is the expected result in JSON. A Python tuple and several results of a Go function
	// are arrays.
	Want json.RawMessage `json:"want,omitempty"`
}

// Validate reports what is wrong with a problem.
func (p Problem) Validate() error {
	if p.Language != Python && p.Language != Go {
		return fmt.Errorf("code: Problem.Language is %q, want %q or %q", p.Language, Python, Go)
	}
	if len(p.Tests) == 0 {
		return fmt.Errorf("code: Problem.Tests is empty")
	}
	if !(p.Tolerance >= 0) || math.IsInf(p.Tolerance, 0) {
		return fmt.Errorf("code: Problem.Tolerance is %v, want a number of at least 0", p.Tolerance)
	}
	if p.Function != "" {
		names := strings.Split(p.Function, ".")
		if len(names) > 2 || p.Language == Go && len(names) > 1 {
			return fmt.Errorf("code: Problem.Function %q is not the name of a %s function", p.Function, p.Language)
		}
		for _, name := range names {
			if !token.IsIdentifier(name) || p.Language == Go && name == "main" {
				return fmt.Errorf("code: Problem.Function %q is not the name of a %s function", p.Function, p.Language)
			}
		}
	}
	for i, t := range p.Tests {
		if err := t.validate(p.Function != ""); err != nil {
			return fmt.Errorf("code: Problem.Tests[%d]%w", i, err)
		}
	}
	return nil
}

func (t Test) validate(function bool) error {
	if !function {
		if t.Args != nil || t.Want != nil {
			return fmt.Errorf(" has Args or Want without Problem.Function")
		}
		return nil
	}
	if t.Stdin != "" || t.Stdout != "" {
		return fmt.Errorf(" has Stdin or Stdout with Problem.Function")
	}
	var args []json.RawMessage
	if err := json.Unmarshal(t.Args, &args); err != nil || args == nil {
		return fmt.Errorf(".Args is %q, want a JSON array", t.Args)
	}
	if _, err := decode(t.Want); err != nil {
		return fmt.Errorf(".Want is %q: %w", t.Want, err)
	}
	return nil
}
