package reward

import (
	"math"
	"strings"
	"testing"
)

func TestLanguageIsTheShareOfWords(t *testing.T) {
	for _, c := range []struct {
		scripts            []string
		prompt, completion string
		want               float64 // NaN for no words
	}{
		{[]string{"Latin"}, "", "<think>one two three</think>", 1},
		{[]string{"Latin"}, "", "<think>one two 三 four</think>", 0.75},
		{[]string{"Latin"}, "", "<think>one</think>二三四", 1},
		{[]string{"Latin"}, "", "one</think>二三四", 1},
		{[]string{"Latin"}, "", "one two", 1},
		{[]string{"Han"}, "", "<think>我们 let 求解</think>", 4.0 / 5},
		{[]string{"Han"}, "", "<think>so we get 7</think>", 0},
		{[]string{"Cyrillic"}, "", "Ответ равен семи", 1},
		{[]string{"Hiragana", "Katakana", "Han"}, "", "答えはテストです", 1},
		{[]string{"Greek"}, "", "η απάντηση is", 2.0 / 3},
		{[]string{"Hangul"}, "", "답은 칠 이다", 1},
		{[]string{"Arabic"}, "", "الجواب سبعة yes", 2.0 / 3},
		{[]string{"Thai"}, "", "ab ก", 0.5},
		{[]string{"Han"}, "", `设 $x + y = abc$ 与 \(abc\) 和 \[def\] 且 \frac12`, 1},
		{[]string{"Han"}, "", "代码 `x := foo(bar)` 如下 ```go\nfunc main() {}\n```", 1},
		{[]string{"Latin"}, "", "don’t naïve café", 1},
		{nil, "How many eggs?", "eggs 蛋", 0.5},
		{nil, "有多少个鸡蛋?", "eggs 蛋", 0.5},
		{nil, "有多少 eggs?", "蛋", 1},
		{[]string{"Latin"}, "", "12 + 3 = 15", math.NaN()},
		{[]string{"Latin"}, "", "<think></think>text", math.NaN()},
		{[]string{"Latin"}, "", "", math.NaN()},
	} {
		v := Language{Scripts: c.scripts}.Score(t.Context(), Sample{Prompt: c.prompt, Completion: c.completion})
		switch {
		case math.IsNaN(c.want):
			if v.Status != Unparseable || v.Value != 0 || v.Err == nil {
				t.Errorf("%q in %v: %+v, want no words", c.completion, c.scripts, v)
			}
		case math.Abs(v.Value-c.want) > 1e-15 || (v.Status == Correct) != (c.want == 1) || (v.Err == nil) != (c.want == 1):
			t.Errorf("%q in %v: %+v, want %v", c.completion, c.scripts, v, c.want)
		}
	}
	v := Language{Scripts: []string{"Latin"}, Whole: true}.Score(t.Context(), Sample{Completion: "one</think>二三四"})
	if v.Value != 1.0/4 {
		t.Errorf("the whole completion: %+v, want 1/4", v)
	}
}

func TestLanguageReportsWhatItCannotTell(t *testing.T) {
	if v := (Language{Scripts: []string{"Klingon"}}).Score(t.Context(), Sample{Completion: "a"}); v.Status != Error {
		t.Errorf("a script that is none: %+v", v)
	}
	if v := (Language{}).Score(t.Context(), Sample{Prompt: "1+1", Completion: "a"}); v.Status != NotApplicable {
		t.Errorf("a prompt without words: %+v", v)
	}
}

func TestLanguageIsLinearInTheText(t *testing.T) {
	for _, piece := range []string{"$", "`", "\\", "```", `\(`, "a", "字", "ab 字", "\xff", "\U00010400"} {
		text := strings.Repeat(piece, (1<<20)/len(piece))
		took, bytes := measured(func() {
			Language{Scripts: []string{"Latin"}}.Score(t.Context(), Sample{Completion: text})
		})
		if took.Seconds() > 5 || bytes > 64<<20 {
			t.Errorf("1 MiB of %q took %v and %d MB", piece, took, bytes>>20)
		}
	}
}

func FuzzLanguage(f *testing.F) {
	for _, s := range []string{
		"<think>汉字 and words</think>", "$x$ `code` \\frac{a}{b} слово", "``` \xff ```", "don't 𐍈",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, l := range []Language{{}, {Scripts: []string{"Latin", "Han"}}, {Whole: true}} {
			v := l.Score(t.Context(), Sample{Prompt: s, Completion: s})
			if !(v.Value >= 0 && v.Value <= 1) || (v.Value == 1) != (v.Status == Correct) {
				t.Errorf("%+v of %q: %+v", l, s, v)
			}
		}
	})
}
