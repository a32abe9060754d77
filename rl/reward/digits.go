package reward

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Digits is a problem of digit completion, the task of verl's end-to-end test
// (volcengine/verl, tests/e2e): continue an arithmetic progression modulo
// Modulus. The prompt shows the first two numbers, the modulus and how many
// numbers to write:
//
//	Digits{First: 7, Step: 1, Modulus: 10, Count: 4}   7,8:10,4 → 9,0,1,2
//
// DigitShare expects it in Sample.Answer.
type Digits struct {
	First   int // 0 ≤ First < Modulus
	Step    int // 0 ≤ Step < Modulus
	Modulus int // ≥ 2; up to 10, every number is one digit
	Count   int // ≥ 1, the number of numbers to write
}

// Validate reports a field out of range.
func (d Digits) Validate() error {
	if d.Modulus < 2 || d.First < 0 || d.First >= d.Modulus || d.Step < 0 || d.Step >= d.Modulus || d.Count < 1 {
		return fmt.Errorf("digits: First %d, Step %d, Modulus %d, Count %d: "+
			"want 0 <= First, Step < Modulus, Modulus >= 2, Count >= 1", d.First, d.Step, d.Modulus, d.Count)
	}
	return nil
}

// Prompt returns "<first>,<second>:<modulus>,<count>". d must be valid.
func (d Digits) Prompt() string {
	return fmt.Sprintf("%d,%d:%d,%d", d.First, (d.First+d.Step)%d.Modulus, d.Modulus, d.Count)
}

// Completion returns the expected text: Count numbers separated by commas, beginning with the
// third number of the progression. d must be valid.
func (d Digits) Completion() string { return strings.Join(d.numbers(), ",") }

func (d Digits) numbers() []string {
	numbers := make([]string, d.Count)
	n := (d.First + d.Step) % d.Modulus
	for i := range numbers {
		n = (n + d.Step) % d.Modulus
		numbers[i] = strconv.Itoa(n)
	}
	return numbers
}

func digitsOf(s Sample) (Digits, error) {
	d, ok := s.Answer.(Digits)
	if !ok {
		return d, fmt.Errorf("digits: Sample.Answer is %T, want reward.Digits", s.Answer)
	}
	return d, d.Validate()
}

// DigitShare returns the share of right numbers. A number is right if it equals the expected
// one at the same position. The share is relative to Count or to the number of numbers in the
// completion, whichever is greater, so only the exact completion gets 1 and the status
// Correct.
func DigitShare(_ context.Context, s Sample) Verdict {
	d, err := digitsOf(s)
	if err != nil {
		return Verdict{Status: Error, Err: err}
	}
	want, got := d.numbers(), strings.Split(s.Completion, ",")
	right := 0
	for i := range min(len(want), len(got)) {
		if got[i] == want[i] {
			right++
		}
	}
	places := max(len(want), len(got))
	v := pass(right == places)
	v.Value = float64(right) / float64(places)
	return v
}
