package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Part is the part of a completion to which a policy applies.
type Part uint8

const (
	// All is the whole completion.
	All Part = iota
	// Thinking is the text between the first <think> and the last </think>.
	Thinking
	// Answer is the text after the last </think>.
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
	Number int    // counted from 1
	Text   string // without surrounding white space
}

// collect returns the texts that are not blank as numbered steps.
func collect(texts []string) (steps []Step) {
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			steps = append(steps, Step{len(steps) + 1, text})
		}
	}
	return steps
}

// Lines splits text into steps: each line that is not blank is a step.
func Lines(text string) ([]Step, error) { return collect(strings.Split(text, "\n")), nil }

var blankLines = regexp.MustCompile(`\n[ \t\r]*\n`)

// Paragraphs splits text into steps: each paragraph between blank lines is a step.
func Paragraphs(text string) ([]Step, error) { return collect(blankLines.Split(text, -1)), nil }

// Tags returns a function for Policy.Split: the content of each <tag>…</tag> is a step. Tags
// must be closed and not nested. Text outside of the tags is an error, since rules would not
// apply to it.
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
