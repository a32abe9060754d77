package mathtext

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func isEqual(t *testing.T, gold, answer string) bool {
	t.Helper()
	g, err := Gold(gold)
	if err != nil {
		t.Errorf("gold %q: %v", gold, err)
		return false
	}
	a, err := read(answer)
	if err != nil {
		t.Errorf("answer %q: %v", answer, err)
		return false
	}
	equal, err := g.Equal(a)
	if err != nil {
		t.Errorf("%q and %q: %v", gold, answer, err)
	}
	return equal
}

func TestEqualValues(t *testing.T) {
	for _, same := range [][]string{
		{"2i", `\sqrt{-4}`, "(1+i)^2", `-\frac{2}{i}`},
		{"-1", "i^2", `e^{i\pi}`, `\frac{i}{-i}`, `\cos\pi`},
		{"5", "(2+i)(2-i)", "|3+4i|", `\sqrt{25}`, `\max(3,5)`, `\gcd(10,15)`},
		{`\frac{1-i}{2}`, `\frac{1}{1+i}`},
		{`\frac16`, `0.1\overline{6}`, `0.1\bar{6}`, "1/6", "⅙"},
		{"7/2", "3½", "3 1/2", `3\frac{1}{2}`, "3,5", "3{,}5", "3.5"},
		{"1234567.5", "1,234,567.5", "1.234.567,5", `1{,}234{,}567.5`, `1\,234\,567.5`},
		{`\sqrt[3]{-8}`, "-2", "(-8)^{1/3}"},
		{`\frac{\sqrt6}{2}`, `\sqrt{\frac32}`, `\frac{3}{\sqrt6}`, "√6/2"},
		{`2^{5/6}`, `\sqrt2\cdot\sqrt[3]2`},
		{`\sqrt{x}\sqrt{x}`, "x"},
		{`x^2`, "x²", "x*x", "x**2"},
		{`\binom{n}{2}`, `\frac{n(n-1)}{2}`},
		{`\{x \mid x > 1\}`, `(1,\infty)`, "x>1", `\{x\in\mathbb{R} : 1<x\}`},
		{`(1,2]`, `]1,2]`, `1<x\le2`, `x>1 and x\le2`},
		{`x<0\text{ or }x>1`, `(-\infty,0)\cup(1,\infty)`, `\mathbb{R}\setminus[0,1]`},
		{`[0,2]\cap[1,3]`, "[1,2]"},
		{`\log_2 10`, `\frac{1}{\log_{10}2}`, `\frac{\ln10}{\ln2}`},
		{"12:4", "3:1", "3"},
		{"50 km/h", "50", "50 kilometers per hour", `50\text{ km}/\text{h}`},
		{`\text{no solution}`, "No  Solution"},
	} {
		for _, answer := range same {
			if !isEqual(t, same[0], answer) {
				t.Errorf("%q is not %q", answer, same[0])
			}
		}
	}
}

// Random expressions equal those that result from rules of arithmetic, and differ from
// expressions with another value.
func TestRulesOfArithmetic(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	var expression func(depth int) string
	expression = func(depth int) string {
		if depth == 0 {
			return []string{"x", "y", "2", "3", `\frac{1}{2}`, `\sqrt{2}`, `\sqrt{3}`, `\pi`, "i", "(x+1)"}[r.IntN(10)]
		}
		a, b := expression(depth-1), expression(depth-1)
		switch r.IntN(4) {
		case 0:
			return "(" + a + "+" + b + ")"
		case 1:
			return "(" + a + "-" + b + ")"
		case 2:
			return a + `\cdot ` + b
		}
		return a + "(" + b + ")"
	}
	for range 300 {
		a, b, c := expression(1+r.IntN(2)), expression(1), expression(1)
		for _, p := range [][2]string{
			{a + "+(" + b + ")", b + "+(" + a + ")"},
			{"(" + a + ")(" + b + "+" + c + ")", "(" + a + ")(" + b + ")+(" + a + ")(" + c + ")"},
			{"(" + a + ")^2-(" + b + ")^2", "(" + a + "-(" + b + "))(" + a + "+" + b + ")"},
			{`\frac{` + a + "}{x+2}+" + `\frac{` + b + "}{y}", `\frac{y(` + a + ")+(x+2)(" + b + ")}{y(x+2)}"},
		} {
			if !isEqual(t, p[0], p[1]) {
				t.Fatalf("%q is not %q", p[1], p[0])
			}
			if isEqual(t, p[0], p[1]+`+\frac{1}{1000}`) {
				t.Fatalf("%q is %q + 1/1000", p[1], p[0])
			}
		}
	}
}

func TestRoundingOfDecimals(t *testing.T) {
	for _, c := range []struct {
		want, got string
		equal     bool
	}{
		{"1/3", "0.333333", true},
		{"1/3", "0.3333334", true},
		{"1/3", "0.333334", false},
		{"1/3", "0.33333", false},
		{"-2/3", "-0.666667", true},
		{"1.0000004", "1", true},
		{"1.0000006", "1", false},
		{"123456789012345678901.5", "123456789012345678901.5", true},
		{"123456789012345678901.5", "123456789012345678902.5", false},
		{"1.6e-19", "1.6e-19", true},
		{"1.6e-19", "1.7e-19", false},
		{"1.6e-19", "0", false},
		{"0", "0.0000001", true},
		{`\pi`, "3.1415927", true},
		{`\pi`, "3.141592", false},
		{"0.5x", `\frac{x}{2}`, true},
		{"0.333333x", `\frac{x}{3}`, false},
	} {
		if isEqual(t, c.want, c.got) != c.equal {
			t.Errorf("%s for %s: %t, want %t", c.got, c.want, !c.equal, c.equal)
		}
	}
}

func TestBudgets(t *testing.T) {
	for _, text := range []string{
		"9^9^9^9", "2^{5000}", "10^{10^{10}}", "((3!)!)!", "99999!", "1e999999999", "1e9999", `\binom{4000}{2000}`,
		"(x+y+z+w+v+u)^{20}", "x^{99999}", "((((x+1)^9)^9)^9)^9", `\sqrt[100000]{2}`, "2^{1/99999}",
		strings.Repeat("9", 1001), strings.Repeat("(", 65) + "1" + strings.Repeat(")", 65), strings.Repeat("-", 65) + "1",
		strings.Repeat("1+", 2000) + "1", strings.Repeat("1,", 2000) + "1",
	} {
		if _, err := Gold(text); !errors.Is(err, ErrTooBig) {
			t.Errorf("%.40q: error %v, want ErrTooBig", text, err)
		}
	}
	for _, text := range []string{"1/0", `\frac{1}{x-x}`, `\ln 0`, "0^{-1}", `\frac{1}{\sqrt4-2}`} {
		if _, err := Gold(text); !errors.Is(err, ErrUndefined) {
			t.Errorf("%q: error %v, want ErrUndefined", text, err)
		}
	}
	for _, text := range []string{
		"", " ", "$$", "(", ")", "1 2", `\frac{1}`, `\foo`, "1+", "=", `\begin{pmatrix}1&2\\3\end{pmatrix}`,
		`\begin{cases}1\end{cases}`, "(1,2", "{1", "|1", `\sqrt[3`, "#", "1_", "x^",
	} {
		if a, err := Gold(text); err == nil {
			t.Errorf("%q was read as %q", text, a.Text)
		}
	}
}

func TestComparisonSpendsItsStepsAlone(t *testing.T) {
	big := strings.Repeat(`[0,\sqrt{2}]\cup`, 200) + "[1,2]"
	want, err := Gold(`[0,1)\cup(2,3]`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(big)
	if err != nil {
		t.Fatal(err)
	}
	if equal, err := want.Equal(got); equal || !errors.Is(err, ErrTooBig) {
		t.Errorf("%t, %v, want ErrTooBig", equal, err)
	}
}

func TestFactorise(t *testing.T) {
	a := newAlgebra(maxSteps)
	for _, c := range []struct {
		n    string
		want string
	}{
		{"1", ""},
		{"2", "2^1 "},
		{"360", "2^3 3^2 5^1 "},
		{"1018081", "1009^2 "},
		{"999983", "999983^1 "},
		{"18446744073709551557", "18446744073709551557^1 "},
	} {
		n, _ := new(big.Int).SetString(c.n, 10)
		got := ""
		for _, f := range a.factorise(n) {
			got += f.value.String() + "^" + big.NewInt(f.count).String() + " "
		}
		if got != c.want {
			t.Errorf("%s = %s, want %s", c.n, got, c.want)
		}
	}
	if a.opaque {
		t.Error("the factors of small numbers are not known")
	}
}

func TestFindTakesTheAnswer(t *testing.T) {
	for text, want := range map[string]string{
		`\boxed{\frac{1}{2}}`:                            `\frac{1}{2}`,
		`\boxed 5`:                                       "5",
		`\boxed{\boxed{5}}`:                              "5",
		`\boxed{3} so \boxed{x = \boxed{5}}`:             "5",
		`$\boxed5$ is it`:                                "5",
		`\boxed{1}, \boxed{2}, and \boxed{3}`:            "1, 2, 3",
		`\boxed{1}. As a check we also get \boxed{2}`:    "2",
		"The final answer is 5, not 6. The answer is 7.": "5",
		"The answer is 5. The answer is 6.":              "6",
		"answer: 5 apples and 6 pears":                   "5 apples and 6 pears",
		"The answer is 42 because 6*7 = 42 and 1 = 1":    "42",
		"He has 5 apples left":                           "5",
		"a $5 bill and 3 coins of $2":                    "2",
		"$x=1$ and $y=2$, of 3 cases":                    "3",
		"x = 7":                                          "x = 7",
		"first\nx^2 + 1":                                 "x^2 + 1",
		"so 48/2 = 24 in all":                            "24",
		"It is 50 % more":                                "50%",
		"room B12 has 3 beds, H2O":                       "3",
		"<answer>\n(1, 2)\n</answer> in 5 steps":         "(1, 2)",
		"<think>8</think>7":                              "7",
		"#### 18":                                        "18",
	} {
		a, err := Find(text, false)
		if err != nil || strings.Trim(a.Text, "$") != want {
			t.Errorf("%q: %+v, %v, want %q", text, a, err, want)
		}
	}
}
