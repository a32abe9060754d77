package reward

import (
	"context"
	"regexp"
	"strings"
)

// ThinkAnswerFormat gives 1 to a completion that is exactly
//
//	<think>…</think><answer>…</answer>
//
// with each tag once and nothing outside, and that the model ended itself; 0 to
// any other. The parts may be empty and may span lines.
func ThinkAnswerFormat(_ context.Context, s Sample) Verdict {
	text := s.Completion
	for _, tag := range []string{"<think>", "</think>", "<answer>", "</answer>"} {
		if strings.Count(text, tag) != 1 {
			return pass(false)
		}
	}
	// Each tag stands once, so these three places fix the whole order.
	return pass(!s.Truncated &&
		strings.HasPrefix(text, "<think>") &&
		strings.Contains(text, "</think><answer>") &&
		strings.HasSuffix(text, "</answer>"))
}

var lineFormat = regexp.MustCompile(`(?s)\A<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>\n?\z`)

// LineFormat gives 1 to a completion of the form of open-r1's format_reward,
//
//	<think>\n…\n</think>\n<answer>\n…\n</answer>
//
// where the parts may contain anything, tags included; 0 to any other. One
// newline may follow. Unlike open-r1, whose pattern is multi-line, nothing else
// may.
func LineFormat(_ context.Context, s Sample) Verdict {
	return pass(lineFormat.MatchString(s.Completion))
}

// ThinkFormat is TRL's think_format_reward: 1 if the completion begins with
// <think>, which occurs only there, and has a </think> later; else 0.
func ThinkFormat(_ context.Context, s Sample) Verdict {
	return pass(strings.HasPrefix(s.Completion, "<think>") &&
		strings.Count(s.Completion, "<think>") == 1 &&
		strings.Contains(s.Completion, "</think>"))
}

// TagCount is open-r1's tag_count_reward: a quarter for each of "<think>\n",
// "\n</think>\n", "\n<answer>\n" and "\n</answer>" that occurs exactly once.
// The status is Correct for all four.
func TagCount(_ context.Context, s Sample) Verdict {
	v := Verdict{Status: Wrong}
	for _, tag := range []string{"<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>"} {
		if strings.Count(s.Completion, tag) == 1 {
			v.Value += 0.25
		}
	}
	if v.Value == 1 {
		v.Status = Correct
	}
	return v
}
