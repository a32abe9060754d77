package reward

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// mathCase is a line of testdata/math/cases.jsonl, which cases.py writes.
type mathCase struct {
	Kind, Gold, Completion string
	Verdict                Status
	MathVerify             Status `json:"math_verify"`
	WhyNot                 string `json:"why_not"`
}

func mathCases(t testing.TB, name string) []mathCase {
	t.Helper()
	data, err := os.ReadFile("testdata/math/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var cases []mathCase
	for line := range bytes.Lines(data) {
		var c mathCase
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		cases = append(cases, c)
	}
	return cases
}

func scoreMath(gold any, completion string) Verdict {
	return Math{}.Score(context.Background(), Sample{Completion: completion, Answer: gold})
}

func TestMathJudgesAsMathVerifyButForListedCases(t *testing.T) {
	cases := mathCases(t, "cases.jsonl")
	agree := 0
	for _, c := range cases {
		v := scoreMath(c.Gold, c.Completion)
		if v.Status != c.Verdict || (v.Value == 1) != (c.Verdict == Correct) {
			t.Errorf("%s: %q for %q: %v (%v), want %v", c.Kind, c.Completion, c.Gold, v.Status, v.Err, c.Verdict)
		}
		if (v.Err == nil) != (v.Status == Correct) {
			t.Errorf("%q for %q: error %v for a %v verdict", c.Completion, c.Gold, v.Err, v.Status)
		}
		if (v.Status == Correct) == (c.MathVerify == Correct) {
			agree++
		} else if c.WhyNot == "" {
			t.Errorf("%q for %q: Math-Verify says %v, and there is no reason why that is wrong", c.Completion, c.Gold,
				c.MathVerify)
		}
	}
	t.Logf("%d of %d verdicts agree with Math-Verify", agree, len(cases))
	if len(cases) < 400 || 100*agree < 97*len(cases) {
		t.Errorf("%d of %d verdicts agree with Math-Verify, want 97%% of at least 400", agree, len(cases))
	}
}

func TestMathTellsNearMisses(t *testing.T) {
	cases := mathCases(t, "near.jsonl")
	misses := 0
	for _, c := range cases {
		if v := scoreMath(c.Gold, c.Completion); v.Status != c.Verdict {
			t.Errorf("%q for %q: %v (%v), want %v", c.Completion, c.Gold, v.Status, v.Err, c.Verdict)
		}
		if c.Verdict == Wrong {
			misses++
		}
	}
	if misses < 40 {
		t.Errorf("%d near misses, want 40", misses)
	}
}

// gsm8kGolds returns the final answers of GSM8K's test set.
func gsm8kGolds(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/math/gsm8k.txt")
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Fields(string(data))
	if len(answers) != 1319 {
		t.Fatalf("%d answers, want 1319", len(answers))
	}
	return answers
}

// nextNumber returns n+1.
func nextNumber(t *testing.T, n string) string {
	t.Helper()
	i, ok := new(big.Int).SetString(strings.ReplaceAll(n, ",", ""), 10)
	if !ok {
		t.Fatalf("answer %q is no integer", n)
	}
	return i.Add(i, big.NewInt(1)).String()
}

func TestMathKnowsTheAnswersOfGSM8K(t *testing.T) {
	for _, answer := range gsm8kGolds(t) {
		next := nextNumber(t, answer)
		for _, form := range []string{"\\boxed{%s}", "#### %s", "So he pays 12 * 3 = $7. The answer is $%s.", "%s"} {
			if v := scoreMath(answer, fmt.Sprintf(form, answer)); v.Status != Correct {
				t.Errorf("%s as %q: %v (%v)", answer, form, v.Status, v.Err)
			}
			if v := scoreMath(answer, fmt.Sprintf(form, next)); v.Status != Wrong {
				t.Errorf("%s for %s as %q: %v (%v)", next, answer, form, v.Status, v.Err)
			}
		}
	}
}

func TestMathFindsTheAnswerOfASolution(t *testing.T) {
	for _, c := range []struct {
		gold       any
		completion string
		want       Status
	}{
		{"She makes 9 * 2 = $18.\n#### 18", "18", Correct},
		{`Thus $x=3$ and the area is $\boxed{9}$.`, "9", Correct},
		{[]string{"1/2", "2"}, `\boxed{2}`, Correct},
		{[]string{"1/2", "2"}, `\boxed{3}`, Wrong},
		{[]string{"?", "2"}, `\boxed{2}`, Correct},
		{"7", "<think>It is 7.", Unparseable},
		{"7", "<think>It is 7.</think>", Unparseable},
		{"7", `<think>8</think><answer>$x = 7$</answer>`, Correct},
		{"7", `The answer is \boxed{7`, Unparseable},
		{"7", `\boxed{}`, Unparseable},
		{"12:30 PM", `\boxed{12:30 AM}`, Wrong},
		{"3 a m", `\boxed{3am}`, Wrong}, // the first is a product, the second a time
		{"3 a m", `\boxed{3m a}`, Correct},
		{"12:30 PM", `\boxed{12:30\text{ p.m.}}`, Correct},
		{`5 \text{ p.m.}`, "The answer is 5 a.m.", Wrong},
		{`5 \text{ p.m.}`, `\boxed{5}`, Correct},
		{"7", "The answer is not 7, it is 8.", Wrong},
		{"8", "The answer is not 7, it is 8.", Correct},
		{"7", "", Unparseable},
		{"7", "1/0", Wrong},
		{"7", `\boxed{9^9^9^9}`, Unparseable},
		{"7", `\boxed{` + strings.Repeat("(", 100) + "7" + strings.Repeat(")", 100) + "}", Unparseable},
		{"1/0", "7", NotApplicable},
		{"9^9^9^9", "7", NotApplicable},
		{`\frac{1}{`, "7", NotApplicable},
		{"", "7", NotApplicable},
		{[]string{}, "7", NotApplicable},
		{7, "7", Error},
		{nil, "7", Error},
	} {
		if v := scoreMath(c.gold, c.completion); v.Status != c.want || (v.Err == nil) != (c.want == Correct) {
			t.Errorf("%q for %q: %v (%v), want %v", c.completion, c.gold, v.Status, v.Err, c.want)
		}
	}
}

func TestMathBoxedTakesNothingElse(t *testing.T) {
	for completion, want := range map[string]Status{
		`\boxed{7}`: Correct, "The answer is 7.": Unparseable, "7": Unparseable,
	} {
		v := Math{Boxed: true}.Score(context.Background(), Sample{Completion: completion, Answer: "7"})
		if v.Status != want {
			t.Errorf("%q: %v (%v), want %v", completion, v.Status, v.Err, want)
		}
	}
}

// mutate changes, duplicates, removes or inserts a few pieces of text.
func mutate(r *rand.Rand, text string, pieces []string) string {
	for range 1 + r.IntN(4) {
		i := r.IntN(len(text) + 1)
		j := min(len(text), i+r.IntN(8))
		switch r.IntN(4) {
		case 0:
			text = text[:i] + text[j:]
		case 1:
			text = text[:i] + pieces[r.IntN(len(pieces))] + text[i:]
		case 2:
			text = text[:i] + strings.Repeat(text[i:j], 1+r.IntN(30)) + text[j:]
		case 3:
			text = text[:i] + string(rune(r.IntN(0x500))) + text[j:]
		}
	}
	return text
}

var mathPieces = []string{
	"{", "}", "(", ")", "[", "]", `\{`, `\}`, "|", "^", "_", "^{", "!", "%", "9", "99999999", "^9", "1/", "-", "+", "*",
	"=", "<", ",", ";", ":", "$", "$$", `\(`, `\)`, `\boxed{`, `\frac{`, `\frac`, `\sqrt[`, `\sqrt{`, `\pm `, `\cup `,
	`\begin{pmatrix}`, `\end{pmatrix}`, "&", `\\`, `\text{`, "x", "xy", "e", "i", `\pi `, `\infty `, "sin ", `\ln `,
	`\binom{`, "answer is ", "#### ", "<answer>", "</answer>", "</think>", ".", "0.", "e9", "½", " ", "\n", "\x00",
	"\xff",
}

// hostileAnswers returns answers that take long to check if time is not limited.
func hostileAnswers() map[string]string {
	deep := strings.Repeat
	return map[string]string{
		"powers":       `\boxed{9^9^9^9}`,
		"wide power":   `\boxed{(a+b+c+d+e+f+g+h)^{99}}`,
		"powers below": `\boxed{((((x+1)^9)^9)^9)^9}`,
		"factorial":    `\boxed{99999!}`,
		"factorials":   `\boxed{((3!)!)!}`,
		"binomial":     `\boxed{\binom{4000}{2000}}`,
		"digits":       `\boxed{` + deep("9", 3000) + "}",
		"roots":        `\boxed{` + deep(`\sqrt{2+`, 40) + "x" + deep("}", 40) + "}",
		"root":         `\boxed{\sqrt{` + deep("7", 900) + "}}",
		"root sum":     `\boxed{(\sqrt2+\sqrt3+\sqrt5+\sqrt7+\sqrt{11}+\sqrt{13})^{40}}`,
		"logarithm":    `\boxed{\ln{` + deep("7", 900) + "}}",
		"fractions":    `\boxed{` + deep(`\frac{1}{x+`, 50) + "1" + deep("}", 50) + "}",
		"sum":          `\boxed{` + deep(`\frac{1}{x+1}+\frac{1}{y+2}+`, 100) + "1}",
		"primes":       `\boxed{` + deep("\\frac{1}{9999991}+\\frac{1}{9999973}+", 90) + "1}",
		"brackets":     `\boxed{` + deep("(", 2000) + "}",
		"braces":       `\boxed{` + deep("{", 2000) + deep("}", 2000) + "}",
		"bars":         `\boxed{` + deep("|", 2000) + "}",
		"signs":        `\boxed{` + deep("-", 4000) + "1}",
		"plus-minus":   `\boxed{` + deep(`\pm1,`, 600) + "1}",
		"list":         `\boxed{` + deep("1,x,", 900) + "1}",
		"set":          `\boxed{\{` + deep("x+1,x+2,", 300) + "1\\}}",
		"union":        `\boxed{` + deep(`[0,\sqrt{2}]\cup`, 200) + "[1,2]}",
		"intervals":    `\boxed{` + deep(`(0,1)\cup(2,3)\setminus`, 30) + "[1,2]}",
		"sines":        `\boxed{` + deep(`\sin(`, 60) + "x" + deep(")", 60) + "}",
		"symbolic":     `\boxed{(x+y)^{x+y}^{x+y}}`,
		"boxes":        deep(`\boxed{1},`, 100_000),
		"open boxes":   deep(`\boxed{`, 100_000),
		"answers":      deep("the answer is ", 10_000),
		"dollars":      deep("$1 ", 100_000),
		"numbers":      deep("7 x ", 100_000),
		"long number":  deep("7", 10<<20),
		"10 MB":        deep("So we have that x is 5 and y is 6. ", 300_000) + "The answer is 7.",
		"10 MB box":    `\boxed{` + deep("7+", 5<<20) + "7}",
		"think":        deep("<think>", 1_000_000) + deep("</think>", 100_000) + "7",
		"answer tags":  deep("<answer>", 600_000) + deep("</answer>", 600_000),
		"nul":          deep("\x00", 10<<20),
	}
}

// measured calls f several times and returns the shortest time, which other processes affect
// least, and the number of bytes allocated.
func measured(f func()) (time.Duration, uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	best := time.Duration(1 << 62)
	for try := 0; try < 3 && (try == 0 || best > 10*time.Millisecond); try++ {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
		if try == 0 {
			runtime.ReadMemStats(&after)
		}
	}
	return best, after.TotalAlloc - before.TotalAlloc
}

// tooLong is the time that counts as a hang. An idle machine takes at most 30 ms, and ten times
// as long with the race detector.
const tooLong = 2 * time.Second

func TestMathIsBounded(t *testing.T) {
	golds := []string{
		"7", `x^2+y`, `\sqrt2+\sqrt{x+1}`, `\{1,2,x\}`, `[0,1)\cup(2,3]`, `\sin x`, `\begin{pmatrix}1&2\end{pmatrix}`,
	}
	for name, completion := range hostileAnswers() {
		for _, gold := range golds {
			var v Verdict
			took, bytes := measured(func() { v = scoreMath(gold, completion) })
			if v.Status != Wrong && v.Status != Unparseable && v.Status != Correct {
				t.Errorf("%s for %s: %v (%v)", name, gold, v.Status, v.Err)
			}
			if testing.Verbose() && took > 5*time.Millisecond {
				t.Logf("%s for %s: %v, %d KB: %v", name, gold, took, bytes>>10, v.Err)
			}
			if took > tooLong || bytes > 64<<20 {
				t.Errorf("%s for %s took %v and %d MB", name, gold, took, bytes>>20)
			}
		}
		// The text is also used as the gold answer.
		var v Verdict
		took, bytes := measured(func() { v = scoreMath(completion, `\boxed{7}`) })
		if took > tooLong || bytes > 64<<20 {
			t.Errorf("%s as gold: %v took %v and %d MB", name, v.Status, took, bytes>>20)
		}
	}
}

func TestMathSurvivesMutatedAnswers(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	const seed = 20
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	cases := append(mathCases(t, "cases.jsonl"), mathCases(t, "near.jsonl")...)
	var longest time.Duration
	var worst string
	start := time.Now()
	counts := map[Status]int{}
	for range n {
		c := cases[r.IntN(len(cases))]
		gold, completion := c.Gold, mutate(r, c.Completion, mathPieces)
		if r.IntN(8) == 0 {
			gold = mutate(r, gold, mathPieces)
		}
		if r.IntN(8) == 0 {
			completion = ""
			for range r.IntN(40) {
				completion += mathPieces[r.IntN(len(mathPieces))]
			}
		}
		began := time.Now()
		v := scoreMath(gold, completion)
		if took := time.Since(began); took > longest {
			// Measure again, since another process may have caused the delay.
			took, bytes := measured(func() { scoreMath(gold, completion) })
			if took > longest {
				longest, worst = took, fmt.Sprintf("%q for %q", completion, gold)
			}
			if bytes > 64<<20 {
				t.Errorf("%q for %q took %d MB", completion, gold, bytes>>20)
			}
		}
		counts[v.Status]++
	}
	average := time.Since(start) / time.Duration(n)
	t.Logf("%v each, at most %v (%s); %v", average, longest, worst, counts)
	if average > 50*time.Millisecond || longest > tooLong {
		t.Errorf("%v each, at most %v for %s", average, longest, worst)
	}
	if counts[Error]+counts[Timeout] > 0 || counts[Correct] == 0 || counts[Wrong] == 0 || counts[Unparseable] == 0 {
		t.Errorf("verdicts %v", counts)
	}
}

func FuzzMath(f *testing.F) {
	for _, c := range mathCases(f, "cases.jsonl") {
		f.Add(c.Gold, c.Completion)
	}
	for _, completion := range hostileAnswers() {
		if len(completion) < 10_000 {
			f.Add("7", completion)
		}
	}
	f.Fuzz(func(t *testing.T, gold, completion string) {
		v := scoreMath(gold, completion)
		if v.Status == Error || v.Status == Timeout || (v.Value == 1) != (v.Status == Correct) {
			t.Fatalf("%q for %q: %+v", completion, gold, v)
		}
		if again := scoreMath(gold, completion); again.Status != v.Status || again.Value != v.Value {
			t.Fatalf("%q for %q: %+v, and then %+v", completion, gold, v, again)
		}
	})
}

func ExampleMath() {
	for _, completion := range []string{
		`<think>48 of 96 …</think>The answer is $\boxed{\frac{48}{96}}$.`,
		"So the probability is 50%.",
		"The answer is 0.05.",
		"I am not sure.",
	} {
		v := Math{}.Score(context.Background(), Sample{Completion: completion, Answer: "1/2"})
		fmt.Println(v.Value, v.Status)
	}
	// Output:
	// 1 correct
	// 1 correct
	// 0 wrong
	// 0 unparseable
}
