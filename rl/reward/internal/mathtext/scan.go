package mathtext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// latest yields the formulas and numbers of a text, beginning with the one that ends last.
func latest(text string, yield func(string) bool) {
	spans := formulas(text)
	for end := len(text); end > 0; {
		digit := strings.LastIndexFunc(text[:end], isDigit)
		if len(spans) > 0 {
			s := spans[len(spans)-1]
			if s.end > digit {
				if !yield(text[s.start:s.end]) {
					return
				}
				end, spans = s.start, spans[:len(spans)-1]
				continue
			}
		}
		if digit < 0 {
			return
		}
		run, start := runAt(text, digit)
		if run != "" && !yield(run) {
			return
		}
		if number := numberAt(text, digit); run != "" && number != run && !yield(number) {
			return
		}
		end = max(0, min(start, digit))
	}
}

// arithmetic holds the characters of a run other than digits.
const arithmetic = ".,+-*/^() %×÷−√"

// runAt returns the arithmetic expression around a digit and where it begins, or "" if the digit
// is part of a word. A comma is part of the expression only between digits.
func runAt(text string, digit int) (run string, start int) {
	start, end := digit, digit+1
	inRun := func(r rune, before, after rune) bool {
		return isDigit(r) || r == ',' && isDigit(before) && isDigit(after) ||
			r != ',' && strings.ContainsRune(arithmetic, r)
	}
	for start > 0 {
		r, size := utf8.DecodeLastRuneInString(text[:start])
		before, _ := utf8.DecodeLastRuneInString(text[:start-size])
		if !inRun(r, before, rune(text[start])) || digit-start > maxAnswer/4 {
			break
		}
		start -= size
	}
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		after, _ := utf8.DecodeRuneInString(text[end+size:])
		if !inRun(r, rune(text[end-1]), after) || end-digit > maxAnswer/4 {
			break
		}
		end += size
	}
	run = strings.Trim(text[start:end], " ,.*+/^)%")
	if _, rest, _ := strings.Cut(text[start:end], run); strings.HasPrefix(strings.TrimLeft(rest, " "), "%") {
		run += "%"
	}
	if strings.Count(run, "(") != strings.Count(run, ")") {
		run = strings.Trim(text[start:end], " ,.*+/^%")
	}
	if r, _ := utf8.DecodeLastRuneInString(text[:start]); unicode.IsLetter(r) && isDigit(rune(text[start])) {
		return "", start
	}
	return run, start
}

// numberAt returns the number around a digit, with a sign and a percent sign.
func numberAt(text string, digit int) string {
	start, end := digit, digit+1
	for start > 0 && (isDigit(rune(text[start-1])) || strings.IndexByte(".,", text[start-1]) >= 0 &&
		start > 1 && isDigit(rune(text[start-2]))) {
		start--
	}
	if start > 0 && text[start-1] == '-' {
		start--
	}
	for end < len(text) && isDigit(rune(text[end])) {
		end++
	}
	if strings.HasPrefix(strings.TrimLeft(text[end:], " "), "%") {
		return text[start:end] + "%"
	}
	return text[start:end]
}
