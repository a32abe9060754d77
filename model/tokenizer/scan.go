package tokenizer

import "strings"

// take returns the end of the run of characters from i on whose class is in want and not in
// not.
func (c *classes) take(s string, i int, want, not class) int {
	for i < len(s) {
		is, n := c.of(s[i:])
		if is&want == 0 || is&not != 0 {
			break
		}
		i += n
	}
	return i
}

// takeNone returns the end of the run of characters from i on without a class in not.
func (c *classes) takeNone(s string, i int, not class) int {
	for i < len(s) {
		is, n := c.of(s[i:])
		if is&not != 0 {
			break
		}
		i += n
	}
	return i
}

// takeBreaks returns the end of the run of line breaks from i on.
func takeBreaks(s string, i int) int {
	for i < len(s) && (s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// whitespace returns the end of the match of \s*[\r\n]+|\s+(?!\S)|\s+ at i, where a white
// space character begins.
func (c *classes) whitespace(s string, i int) int {
	afterBreak, last, j := -1, i, i
	for j < len(s) {
		is, n := c.of(s[j:])
		if is&space == 0 {
			break
		}
		last = j
		if s[j] == '\n' || s[j] == '\r' {
			afterBreak = j + 1
		}
		j += n
	}
	switch {
	case afterBreak >= 0:
		return afterBreak
	case j == len(s) || last == i:
		return j
	}
	return last // the last character is left for the next match
}

// digits matches \p{N}{1,limit}.
func digits(limit int) finder {
	return func(c *classes, s string, i int) (int, int) {
		i = c.takeNone(s, i, number)
		return i, c.takeAtMost(s, i, number, limit)
	}
}

// takeAtMost is take with a limit on the number of characters.
func (c *classes) takeAtMost(s string, i int, want class, limit int) int {
	for ; limit > 0 && i < len(s); limit-- {
		is, n := c.of(s[i:])
		if is&want == 0 {
			break
		}
		i += n
	}
	return i
}

// run matches the longest run of characters of a class.
func run(want class) finder {
	return func(c *classes, s string, i int) (int, int) {
		i = c.takeNone(s, i, want)
		return i, c.take(s, i, want, 0)
	}
}

// numericRune matches one numeric character, like Digits with individual_digits.
func numericRune(c *classes, s string, i int) (int, int) {
	i = c.takeNone(s, i, numeric)
	return i, c.takeAtMost(s, i, numeric, 1)
}

// deepseekV3 matches the third expression of DeepSeek-V3.
func deepseekV3(c *classes, s string, i int) (int, int) {
	for i < len(s) {
		is, n := c.of(s[i:])
		b := s[i]
		next := i + n
		if b < 0x80 && is&(punctuation|symbol) != 0 && next < len(s) && asciiLetter(s[next]) {
			for next < len(s) && asciiLetter(s[next]) {
				next++
			}
			return i, next
		}
		// One other character may precede letters and marks.
		if is&(letter|mark) != 0 {
			return i, c.take(s, next, letter|mark, 0)
		}
		if is&(punctuation|symbol) == 0 && b != '\r' && b != '\n' {
			if end := c.take(s, next, letter|mark, 0); end > next {
				return i, end
			}
		}
		from := i
		if b == ' ' {
			from = next
		}
		if end := c.take(s, from, punctuation|symbol, 0); end > from {
			return i, takeBreaks(s, end)
		}
		if is&space != 0 {
			return i, c.whitespace(s, i)
		}
		i = next
	}
	return len(s), len(s)
}

func asciiLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// qwen2 matches the expression of Qwen2 or, with a limit of three digits, that of Llama-3.
// Every character is part of a match.
func qwen2(limit int) finder {
	return func(c *classes, s string, i int) (int, int) {
		if i == len(s) {
			return i, i
		}
		if s[i] == '\'' {
			if n := contraction(s[i+1:]); n > 0 {
				return i, i + 1 + n
			}
		}
		is, n := c.of(s[i:])
		next := i + n
		switch {
		case is&letter != 0:
			return i, c.take(s, next, letter, 0)
		case is&number != 0:
			return i, c.takeAtMost(s, i, number, limit)
		}
		if s[i] != '\r' && s[i] != '\n' {
			if end := c.take(s, next, letter, 0); end > next {
				return i, end
			}
		}
		from := i
		if s[i] == ' ' {
			from = next
		}
		if end := c.takeNone(s, from, space|letter|number); end > from {
			return i, takeBreaks(s, end)
		}
		return i, c.whitespace(s, i)
	}
}

// contraction returns the length of s, t, re, ve, m, ll or d at the start of text, in
// either case. The long s (ſ) also counts as a lower-case S.
func contraction(text string) int {
	for _, end := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
		if len(text) >= len(end) && strings.EqualFold(text[:len(end)], end) {
			return len(end)
		}
	}
	if strings.HasPrefix(text, "ſ") {
		return len("ſ")
	}
	return 0
}

// gpt2 matches
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Every character is part of a match.
func gpt2(c *classes, s string, i int) (int, int) {
	if i == len(s) {
		return i, i
	}
	if s[i] == '\'' {
		for _, end := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
			if strings.HasPrefix(s[i+1:], end) {
				return i, i + 1 + len(end)
			}
		}
	}
	from := i
	if s[i] == ' ' {
		from++
	}
	for _, kind := range [...]class{letter, number} {
		if end := c.take(s, from, kind, 0); end > from {
			return i, end
		}
	}
	if end := c.takeNone(s, from, space|letter|number); end > from {
		return i, end
	}
	// \s+(?!\S)|\s+: like whitespace, but line breaks are treated like other white space.
	end := c.take(s, i, space, 0)
	if end == len(s) {
		return i, end
	}
	last := i
	for j := i; j < end; {
		last = j
		_, n := c.of(s[j:])
		j += n
	}
	if last == i {
		return i, end
	}
	return i, last
}
