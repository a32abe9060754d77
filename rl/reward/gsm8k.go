package reward

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// GSM8K compares the number after the last "####" of a completion with the gold number.
// Sample.Answer must be a string, either a solution that ends in "#### 18" or only the
// number. By the rules of the data set, thousands separators, currency signs, a full stop and
// words after the number are ignored. The text after "####" must be a single number: "18/2",
// "18 million" and "18 or 19" are not accepted.
type GSM8K struct {
	// Flexible accepts the last number of a completion that has no "####".
	Flexible bool
}

var (
	gsm8kAnswer = regexp.MustCompile(
		`^[ \t]*[*]{0,2}[ \t]*([-+]?)[ \t]*\\?[$€£¥]?[ \t]*([-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+))`)
	// gsm8kMore matches text after a number that makes it part of something else, as in
	// 18/2, 18e3, 18 million, 18 or 19.
	gsm8kMore = regexp.MustCompile(`^(?:[eE][-+]?\d|[ \t]*(?i:hundred|thousand|million|billion)\b|` +
		`[ \t]*(?:[-+*/^×÷:=x]|or|and|to)?[ \t]*\\?[$€£¥]?[ \t]*\.?\d)`)
	gsm8kNumber = regexp.MustCompile(`[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)`)
)

// gsm8kTail is the number of bytes at the end of a text in which a number is searched.
const gsm8kTail = 4 << 10

// Score scores one sample: Correct with 1, Wrong with 0 for another number, Unparseable with
// 0 if the completion has no number, NotApplicable if the gold answer has none, Error if
// Sample.Answer is not a string.
func (g GSM8K) Score(_ context.Context, s Sample) Verdict {
	gold, ok := s.Answer.(string)
	if !ok {
		return failed("gsm8k: Sample.Answer is %T, want string", s.Answer)
	}
	if !strings.Contains(gold, "####") {
		gold = "####" + gold
	}
	want, err := finalNumber(gold)
	if err != nil {
		return Verdict{Status: NotApplicable, Err: fmt.Errorf("gsm8k: the gold answer: %w", err)}
	}
	got, err := g.find(s.Completion)
	if err != nil {
		return Verdict{Status: Unparseable, Err: fmt.Errorf("gsm8k: %w", err)}
	}
	if got.Cmp(want) != 0 {
		return Verdict{Status: Wrong, Err: fmt.Errorf("gsm8k: %.40s, want %.40s", got.RatString(), want.RatString())}
	}
	return pass(true)
}

// Extract returns the number of a completion that Score compares, as digits without
// separators. ok is false if there is none.
func (g GSM8K) Extract(completion string) (answer string, ok bool) {
	n, err := g.find(completion)
	if err != nil {
		return "", false
	}
	places, _ := n.FloatPrec()
	return n.FloatString(places), true
}

// find returns the final number of a completion.
func (g GSM8K) find(completion string) (*big.Rat, error) {
	text := AfterThinking(completion)
	if g.Flexible && !strings.Contains(text, "####") {
		text = text[max(0, len(text)-gsm8kTail):]
		numbers := gsm8kNumber.FindAllString(text, -1)
		if len(numbers) == 0 {
			return nil, errors.New("no number")
		}
		text = "####" + numbers[len(numbers)-1]
	}
	return finalNumber(text)
}

// finalNumber returns the number after the last "####".
func finalNumber(text string) (*big.Rat, error) {
	i := strings.LastIndex(text, "####")
	if i < 0 {
		return nil, fmt.Errorf("no \"####\"")
	}
	text = text[i+len("####"):]
	text = text[:min(len(text), gsm8kTail)]
	m := gsm8kAnswer.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("no number in %.40q", text)
	}
	if gsm8kMore.MatchString(text[len(m[0]):]) {
		return nil, fmt.Errorf("more than a number in %.40q", text)
	}
	digits := strings.ReplaceAll(m[2], ",", "")
	if len(digits) > 100 {
		return nil, fmt.Errorf("a number of %d digits, limit 100", len(digits))
	}
	n, ok := new(big.Rat).SetString(digits)
	if !ok {
		return nil, fmt.Errorf("no number in %.40q", text)
	}
	if m[1] == "-" {
		n.Neg(n)
	}
	return n, nil
}
