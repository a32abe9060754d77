package reward

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Choice compares the letter of a multiple-choice answer with the gold letter. Sample.Answer
// must be a string from "A" to "J", perhaps in parentheses.
//
// Choice searches the text after the reasoning (see [AfterThinking]). The letter is the first
// that is found of these: the content of the last \boxed{…} or <answer>…</answer>; the text
// after the last "answer", "option" or "choice" followed by "is" or a colon; the last line, if
// it is a letter and the text of the option, such as "B) 42". A letter counts if it stands
// alone, perhaps in parentheses, in bold face or in \text{…}, and is not followed by a word
// that makes it the article A or the pronoun I. A letter that is ruled out, as in "not A" or
// "A is wrong", does not count. Several different letters in one place are not an answer.
type Choice struct {
	// Letters is the number of options, beginning with A; 0 means 10, A to J.
	Letters int
}

// Extract returns the letter of a completion that Score compares. ok is false if there is
// none.
func (c Choice) Extract(completion string) (answer string, ok bool) {
	if c.Letters == 0 {
		c.Letters = 10
	}
	letter, err := c.find(AfterThinking(completion))
	if err != nil {
		return "", false
	}
	return string(letter), true
}

// Score scores one sample: Correct with 1, Wrong with 0 for another letter, Unparseable with 0
// for no letter or several, NotApplicable if Sample.Answer is a string that is not such a
// letter, and Error if it is not a string.
func (c Choice) Score(_ context.Context, s Sample) Verdict {
	if c.Letters == 0 {
		c.Letters = 10
	}
	if c.Letters < 2 || c.Letters > 26 {
		return failed("choice: Letters is %d, want 2 to 26", c.Letters)
	}
	text, ok := s.Answer.(string)
	if !ok {
		return failed("choice: Sample.Answer is %T, want string", s.Answer)
	}
	gold := strings.Trim(text, " \t\r\n().*$")
	if len(gold) != 1 || !c.isOption(rune(gold[0]&^0x20)) {
		return Verdict{Status: NotApplicable, Err: fmt.Errorf("choice: the gold answer is %.40q, want a letter up to %c",
			text, 'A'+c.Letters-1)}
	}
	letter, err := c.find(AfterThinking(s.Completion))
	if err != nil {
		return Verdict{Status: Unparseable, Err: err}
	}
	if letter != rune(gold[0]&^0x20) {
		return Verdict{Status: Wrong, Err: fmt.Errorf("choice: %c, want %s", letter, strings.ToUpper(gold))}
	}
	return pass(true)
}

func (c Choice) isOption(r rune) bool { return r >= 'A' && r < rune('A'+c.Letters) }

// find returns the letter that text answers with.
func (c Choice) find(text string) (rune, error) {
	if i := strings.LastIndex(text, `\boxed{`); i >= 0 {
		return c.only(boxContent(text[i+len(`\boxed`):]), true)
	}
	if answer, ok := LastAnswer(text); ok {
		if letter, err := c.only(answer, true); err == nil {
			return letter, nil
		}
		text = answer
	}
	text = text[max(0, len(text)-maxChoiceTail):]
	if place, ok := c.afterAnswer(text); ok {
		return c.only(place, false)
	}
	text = strings.TrimSpace(text)
	line := text[strings.LastIndexByte(text, '\n')+1:]
	letters := c.letters(line)
	if len(letters) == 0 || unmarked.Replace(line[:letters[0].at]) != "" {
		return 0, fmt.Errorf("choice: no letter in the last line %.40q", line)
	}
	return letters[0].letter, nil
}

// unmarked removes characters that may stand around and between letters.
var unmarked = strings.NewReplacer(
	" ", "", "(", "", ")", "", "*", "", "$", "", ",", "", "/", "", "&", "", "|", "", ";", "", "+", "", `\text{`, "",
	`\textbf{`, "", "}", "")

// maxChoiceTail is the number of bytes at the end of a text that are searched.
const maxChoiceTail = 16 << 10

// boxContent returns the content of the group in braces at the beginning of text.
func boxContent(text string) string {
	text = text[:min(len(text), maxChoiceTail)]
	open := 0
	for i, r := range text {
		switch r {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return text[1:i]
			}
		}
	}
	return ""
}

var (
	// announcedChoice matches text before an answer, such as "the answer is"; namedChoice
	// matches an answer with its name, such as "option B".
	announcedChoice = regexp.MustCompile(
		`(?i)\b(?:answer|option|choice)\b(?:[^.:=\n]{0,60}?\b(?:is|be)\b|[^.=\n]{0,60}?[:=])[:*\s]*`)
	namedChoice = regexp.MustCompile(`\b(?i:answer|option|choice)\s+[(*]{0,3}[A-Z]\b`)
)

// afterAnswer returns the rest of the line after the last announcement of an answer.
func (c Choice) afterAnswer(text string) (place string, ok bool) {
	start := -1
	for _, m := range announcedChoice.FindAllStringIndex(text, -1) {
		rest, _, _ := strings.Cut(text[m[1]:], "\n")
		if deniedAnnouncement.MatchString(text[m[0]:m[1]]) || denial.MatchString(rest) && len(c.letters(rest)) == 0 {
			continue
		}
		start, place = m[0], text[m[1]:]
	}
	for _, m := range namedChoice.FindAllStringIndex(text, -1) {
		rest := text[m[1]:]
		if m[0] >= start && !deniedAfter.MatchString(rest[:min(len(rest), maxDenial)]) {
			start, place = m[0], text[m[1]-1:]
		}
	}
	place, _, _ = strings.Cut(place, "\n")
	return place, start >= 0
}

var (
	// deniedAnnouncement matches announcements that are negated, as in "the answer cannot
	// be"; denial matches text after "option A is" that rules the option out.
	deniedAnnouncement = regexp.MustCompile(`(?i)(?:\bcannot|\bnot|\bnever|n['’]t)\s+be\s*$`)
	denial             = regexp.MustCompile(`^(?:\w+ly\s+)?(?:wrong|incorrect|false|invalid|excluded|eliminated|` +
		`ruled\s+out|not\s+(?:right|correct|true|the))\b`)
	// deniedBefore matches text that rules out the letter after it; deniedAfter matches text
	// that rules out the letter before it.
	deniedBefore = regexp.MustCompile(
		`(?i)(?:\bnot|\bneither|\bnor|\bnever|n['’]t)\s+(?:be\s+)?(?:(?:answer|option|choice)\s+)?[(*$]*$`)
	deniedAfter = regexp.MustCompile(`^[)*$}]*\s+(?:(?:and|or|nor|,)\s*[(*$]*[A-Z][)*$]*\s+)*` +
		`(?:is|are|was|were|would\s+be|must\s+be)(?:n['’]t\b|(?:\s+\w+ly)?\s+(?:not|wrong|incorrect|false|invalid|` +
		`excluded|eliminated|ruled\s+out)\b)`)
)

// found is a letter and its offset.
type found struct {
	letter rune
	at     int
}

// letters returns the options that stand alone in text and are not ruled out.
func (c Choice) letters(text string) []found {
	var letters []found
	text = text[:min(len(text), maxPlace)]
	deniedEnd := -1 // end of the last letter, if the text before rules it out
	for i, r := range text {
		if !c.isOption(r) {
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		rest := text[i+1:]
		after, _ := utf8.DecodeRuneInString(rest)
		if i > 0 && (unicode.IsLetter(before) || unicode.IsDigit(before) || strings.ContainsRune("'’-\\", before)) ||
			rest != "" && (unicode.IsLetter(after) || unicode.IsDigit(after) || strings.ContainsRune("'’-", after)) {
			continue
		}
		word := strings.TrimLeft(rest, " ")
		next, _ := utf8.DecodeRuneInString(word)
		if (r == 'A' || r == 'I') && len(word) < len(rest) && unicode.IsLower(next) && !conjunction(word) {
			continue // A dog, I think
		}
		listed := deniedEnd >= 0 && joined(text[deniedEnd:i])
		if deniedEnd = -1; listed || deniedBefore.MatchString(text[max(0, i-maxDenial):i]) {
			deniedEnd = i + 1
			continue
		}
		if !deniedAfter.MatchString(rest[:min(len(rest), maxDenial)]) {
			letters = append(letters, found{r, i})
		}
	}
	return letters
}

// maxPlace is the number of bytes of a text that are searched for letters.
const maxPlace = 1 << 10

// maxDenial is the number of bytes before and after a letter that are searched for text that
// rules it out.
const maxDenial = 64

// joined reports whether the text between two letters is at most "or", "nor" or "and".
func joined(between string) bool {
	switch strings.ToLower(unmarked.Replace(between)) {
	case "", "or", "nor", "and":
		return true
	}
	return false
}

// conjunction reports whether the first word of text may follow the letter of an option.
func conjunction(text string) bool {
	word, _, _ := strings.Cut(text, " ")
	switch strings.Trim(word, ".,;:") {
	case "because", "since", "as", "and", "or", "is", "but", "which":
		return true
	}
	return false
}

// only returns the letter in place, and an error if there are several. If alone is set, a
// lower-case letter counts if there is no other text.
func (c Choice) only(place string, alone bool) (rune, error) {
	bare := strings.Trim(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(place), `\text{`), "}"), " \t\n().*$")
	if alone && len(bare) == 1 && c.isOption(rune(bare[0]&^0x20)) {
		return rune(bare[0] &^ 0x20), nil
	}
	letters := c.letters(place)
	if len(letters) == 0 {
		return 0, fmt.Errorf("choice: no letter in %.40q", place)
	}
	first := letters[0]
	for _, l := range letters[1:] {
		if l.letter == first.letter {
			continue
		}
		if joined(place[first.at+1 : l.at]) {
			return 0, fmt.Errorf("choice: %c and %c in %.40q", first.letter, l.letter, place)
		}
	}
	return first.letter, nil
}
