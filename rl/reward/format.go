package reward

import (
	"context"
	"regexp"
	"strings"
)

// ThinkAnswerFormat returns 1 for a completion of exactly the form
//
//	<think>…</think><answer>…</answer>
//
// with each tag once and nothing outside, that is not truncated; otherwise 0. The parts may be
// empty and may span lines.
func ThinkAnswerFormat(_ context.Context, s Sample) Verdict {
	text := s.Completion
	for _, tag := range []string{"<think>", "</think>", "<answer>", "</answer>"} {
		if strings.Count(text, tag) != 1 {
			return pass(false)
		}
	}
	// Each tag occurs once, so these three conditions determine the order.
	return pass(!s.Truncated &&
		strings.HasPrefix(text, "<think>") &&
		strings.Contains(text, "</think><answer>") &&
		strings.HasSuffix(text, "</answer>"))
}

var lineFormat = regexp.MustCompile(`(?s)\A<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>\n?\z`)

// LineFormat returns 1 for a completion of the form of open-r1's format_reward,
//
//	<think>\n…\n</think>\n<answer>\n…\n</answer>
//
// otherwise 0. The parts may contain anything, including tags. One newline may follow. In
// open-r1, whose pattern is multi-line, other text may follow on further lines.
func LineFormat(_ context.Context, s Sample) Verdict {
	return pass(lineFormat.MatchString(s.Completion))
}

// ThinkFormat is TRL's think_format_reward: 1 if the completion begins with its only <think>
// and has a </think>; otherwise 0.
func ThinkFormat(_ context.Context, s Sample) Verdict {
	return pass(strings.HasPrefix(s.Completion, "<think>") &&
		strings.Count(s.Completion, "<think>") == 1 &&
		strings.Contains(s.Completion, "</think>"))
}

// TagCount is open-r1's tag_count_reward: ¼ for each of "<think>\n", "\n</think>\n",
// "\n<answer>\n" and "\n</answer>" that occurs exactly once. The status is Correct if all four
// do.
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
