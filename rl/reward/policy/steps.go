package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Part is what of a completion a policy looks at.
type Part uint8

const (
	// All: the whole completion.
	All Part = iota
	// Thinking: what is between the first <think> and the last </think>.
	Thinking
	// Answer: what follows the last </think>.
	Answer
)

var partNames = [...]string{All: "all", Thinking: "thinking", Answer: "answer"}

// String returns the name of the part, such as "thinking".
func (p Part) String() string {
	if int(p) >= len(partNames) {
		return fmt.Sprintf("Part(%d)", uint8(p))
	}
	return partNames[p]
}

func (p Part) of(completion string) (string, error) {
	if p == All {
		return completion, nil
	}
	end := strings.LastIndex(completion, "</think>")
	if end < 0 {
		return "", errors.New("no </think>")
	}
	if p == Answer {
		return completion[end+len("</think>"):], nil
	}
	_, text, ok := strings.Cut(completion[:end], "<think>")
	if !ok {
		return "", errors.New("no <think> before </think>")
	}
	return text, nil
}

// Step is one step of a reasoning.
type Step struct {
	Number int    // from 1
	Text   string // without surrounding blanks
}

// collect numbers the texts that are not blank.
func collect(texts []string) (steps []Step) {
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			steps = append(steps, Step{len(steps) + 1, text})
		}
	}
	return steps
}

// Lines makes each line that is not blank a step.
func Lines(text string) ([]Step, error) { return collect(strings.Split(text, "\n")), nil }

var blankLines = regexp.MustCompile(`\n[ \t\r]*\n`)

// Paragraphs makes what stands between blank lines a step.
func Paragraphs(text string) ([]Step, error) { return collect(blankLines.Split(text, -1)), nil }

// Tags returns a function that makes the content of each <tag>…</tag> a step. The tags must be
// in pairs and not nested, and nothing but blanks may be outside, lest it escape the rules.
func Tags(tag string) func(text string) ([]Step, error) {
	open, end := "<"+tag+">", "</"+tag+">"
	return func(text string) ([]Step, error) {
		var texts []string
		for {
			before, rest, found := strings.Cut(text, open)
			if outside := strings.TrimSpace(before); outside != "" {
				return nil, fmt.Errorf("%s is outside %s…%s", quote(outside), open, end)
			}
			if !found {
				return collect(texts), nil
			}
			body, after, closed := strings.Cut(rest, end)
			if !closed {
				return nil, fmt.Errorf("%s %d has no %s", open, len(texts)+1, end)
			}
			if strings.Contains(body, open) {
				return nil, fmt.Errorf("%s %d has another inside", open, len(texts)+1)
			}
			texts, text = append(texts, body), after
		}
	}
}
