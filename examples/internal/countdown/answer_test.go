package countdown

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// encode returns the tokens of s, which must be valid.
func encode(t interface{ Fatal(...any) }, s string) []int32 {
	ids, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAnswerReadsTheLastCompletePairOfTags(t *testing.T) {
	for text, want := range map[string]string{
		wanted:                                   "19+29-16",
		"<answer>1+2</answer><answer>3</answer>": "3",
		"<answer>1+2</answer><answer>3":          "1+2",
		"<answer><answer>5</answer></answer>":    "",
		"<answer>5</answer></answer>":            "",
		"1+2</answer>":                           "",
		"<answer>1+2":                            "",
		"":                                       "",
	} {
		if got := Answer(encode(t, text)); got != want {
			t.Errorf("Answer(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestAnswerNormalisesOrderAndParentheses(t *testing.T) {
	for text, want := range map[string]string{
		"19-16+29":      "19+29-16",
		"29+19-16":      "19+29-16",
		"29-(16-19)":    "19+29-16",
		"((19+29))-16":  "19+29-16",
		"9+10+1":        "1+9+10",
		"007":           "7",
		"00":            "0",
		"2*3*4":         "2*3*4",
		"4*(3*2)":       "2*3*4",
		"(1+2)*3":       "3*(1+2)",
		"3*(2+1)":       "3*(1+2)",
		"8/(4/2)":       "2*8/4",
		"6-2*3":         "6-2*3",
		"6-(3*2+1)":     "6-1-2*3",
		"10/(3-1)":      "10/(3-1)",
		"(10-4)-(3-1)":  "1+10-3-4",
		"19+":           "",
		"+19":           "",
		"-19":           "",
		"19 +1":         "",
		"(1+2":          "",
		"1+2)":          "",
		"()":            "",
		"1++2":          "",
		"12(3)":         "",
		"1=1":           "",
		"wait":          "",
		"1+<eos>2":      "",
		"":              "",
		"1*/2":          "",
		"<think>1+2":    "",
		"1+2</think>":   "",
		"1+2\n":         "",
		"1,2":           "",
		"1+(2+)":        "",
		"1<answer>":     "",
		"3?32yes":       "",
		"<pad>1+2<pad>": "",
	} {
		if got := normalise(encode(t, text)); got != want {
			t.Errorf("normalise(%q) = %q, want %q", text, got, want)
		}
	}
}

// drawExpression draws the text of a random expression of at most the given depth.
func drawExpression(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
		return fmt.Sprint(rapid.IntRange(1, 30).Draw(t, "number"))
	}
	op := rapid.SampledFrom([]string{"+", "-", "*", "/"}).Draw(t, "op")
	return "(" + drawExpression(t, depth-1) + op + drawExpression(t, depth-1) + ")"
}

func TestNormalisingKeepsTheValueAndIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawExpression(t, 4)
		normal := normalise(encode(t, text))
		value, ok := evaluate(text)
		if !ok {
			t.Skip("division by zero")
		}
		if got, ok := evaluate(normal); !ok || got.Cmp(value) != 0 {
			t.Fatalf("%s = %s but its normal form %s = %v", text, value, normal, got)
		}
		if again := normalise(encode(t, normal)); again != normal {
			t.Fatalf("normal form %s of %s normalises to %s", normal, text, again)
		}
	})
}

func TestReferenceEvaluator(t *testing.T) {
	for text, want := range map[string]*big.Rat{
		"19-16+29":   big.NewRat(32, 1),
		"29-(19-16)": big.NewRat(26, 1),
		"7/2*3":      big.NewRat(21, 2),
	} {
		if got, ok := evaluate(text); !ok || got.Cmp(want) != 0 {
			t.Errorf("evaluate(%s) = %v, want %s", text, got, want)
		}
	}
	if v, ok := evaluate("1/(2-2)"); ok {
		t.Errorf("1/(2-2) = %s", v)
	}
}

func TestCountCountsWordsAndTries(t *testing.T) {
	text := "<think>1+2=3,3+4=7?9nowait1+4=5,5+2=7?9no\n4-2=2,2+1=3?9yes"
	if diff := cmp.Diff(Counts{No: 2, Yes: 1, Wait: 1, Tries: 3}, Count(encode(t, text))); diff != "" {
		t.Errorf("Count (-want +got):\n%s", diff)
	}
}
