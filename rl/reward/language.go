package reward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Language is R1's language-consistency reward (arXiv 2501.12948 §2.3.2): the share of
// the words of the reasoning that are in the target language, recognised by their script. A
// word is a run of letters of one script. In Han, Hiragana, Katakana, Thai, Lao, Khmer and
// Burmese, which do not separate words, each character is a word. Numbers, punctuation, tags,
// formulas between dollar signs or \( \) and \[ \], LaTeX commands and code between
// backquotes are ignored.
type Language struct {
	// Scripts lists the scripts of the target language by their names in unicode.Scripts,
	// such as "Latin", or "Han" for Chinese. If empty, the script of most words in
	// Sample.Prompt is used, so that the reasoning must be in the language of the question.
	Scripts []string
	// Whole scores the whole completion instead of its reasoning. The reasoning is the text
	// between <think> and </think>, or before </think>.
	Whole bool
}

// noBlanks holds the scripts that do not separate words with spaces.
var noBlanks = map[string]bool{
	"Han": true, "Hiragana": true, "Katakana": true, "Thai": true, "Lao": true, "Khmer": true, "Myanmar": true,
}

// Score returns the share, from 0 to 1. The status is Correct for 1, otherwise Wrong. It is
// Unparseable with value 0 if there are no words, NotApplicable if Scripts is empty and the
// prompt has no words, and Error if a script is unknown.
func (l Language) Score(_ context.Context, s Sample) Verdict {
	target := map[string]bool{}
	for _, name := range l.Scripts {
		if unicode.Scripts[name] == nil {
			return failed("language: no script %q in unicode.Scripts", name)
		}
		target[name] = true
	}
	if len(target) == 0 {
		most := ""
		words := scripts(s.Prompt)
		for name, n := range words {
			if n > words[most] || n == words[most] && (most == "" || name < most) {
				most = name
			}
		}
		if most == "" {
			return Verdict{Status: NotApplicable, Err: errors.New("language: the prompt has no words")}
		}
		target[most] = true
	}
	text := s.Completion
	if !l.Whole {
		if i := strings.Index(text, "</think>"); i >= 0 {
			text = text[:i]
		}
		if i := strings.Index(text, "<think>"); i >= 0 {
			text = text[i+len("<think>"):]
		}
	}
	in, all := 0, 0
	for name, n := range scripts(text) {
		all += n
		if target[name] {
			in += n
		}
	}
	if all == 0 {
		return Verdict{Status: Unparseable, Err: errors.New("language: no words")}
	}
	v := pass(in == all)
	v.Value = float64(in) / float64(all)
	if in < all {
		v.Err = fmt.Errorf("language: %d of %d words are in another script", all-in, all)
	}
	return v
}

// scripts counts the words of each script.
func scripts(text string) map[string]int {
	words := map[string]int{}
	last := "" // the script of the current word
	for i := 0; i < len(text); {
		if n := skipped(text[i:]); n > 0 {
			i, last = i+n, ""
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == 'ー':
			// part of the current word
		case !unicode.IsLetter(r):
			last = ""
		default:
			name := script(r, last)
			if name != "" && (name != last || noBlanks[name]) {
				words[name]++
			}
			last = name
		}
	}
	return words
}

// common lists the scripts that are tried first.
var common = []string{"Latin", "Han", "Cyrillic", "Hiragana", "Katakana", "Hangul", "Arabic", "Devanagari", "Greek"}

// script returns the name of the script of a letter, or "". It tries the script last first.
func script(r rune, last string) string {
	if r < utf8.RuneSelf {
		return "Latin"
	}
	if last != "" && unicode.Is(unicode.Scripts[last], r) {
		return last
	}
	for _, name := range common {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return name
		}
	}
	return ""
}

// maxFormula is the number of bytes within which the end of a formula or piece of code is
// searched.
const maxFormula = 1 << 10

// tags are the tags of R1's format, which do not count as words.
var tags = []string{"<think>", "</think>", "<answer>", "</answer>"}

// skipped returns the length of the tag, formula, command or code at the beginning of text,
// or 0.
func skipped(text string) int {
	if text[0] == '<' {
		for _, tag := range tags {
			if strings.HasPrefix(text, tag) {
				return len(tag)
			}
		}
	}
	for _, pair := range [][2]string{{"$$", "$$"}, {"$", "$"}, {`\(`, `\)`}, {`\[`, `\]`}, {"```", "```"}, {"`", "`"}} {
		if !strings.HasPrefix(text, pair[0]) {
			continue
		}
		limit := maxFormula
		if pair[0] == "```" {
			limit = 16 * maxFormula
		}
		rest := text[len(pair[0]):]
		if i := strings.Index(rest[:min(len(rest), limit)], pair[1]); i >= 0 {
			return len(pair[0]) + i + len(pair[1])
		}
		return len(pair[0])
	}
	if strings.HasPrefix(text, `\`) { // \frac
		n := 1
		for n < len(text) && (text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z') {
			n++
		}
		return n
	}
	return 0
}
