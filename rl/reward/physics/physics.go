package physics

import (
	"errors"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// ExtractQuantity returns the answer of a completion: the content of the last \boxed{…} or, if
// there is none, of the last <answer>…</answer>. It searches the text after the reasoning; see
// [reward.AfterThinking].
func ExtractQuantity(completion string) (string, bool) {
	completion = reward.AfterThinking(completion)
	if boxed, ok := lastBoxed(completion); ok {
		return boxed, true
	}
	return reward.LastAnswer(completion)
}

func lastBoxed(text string) (string, bool) {
	const open = `\boxed{`
	for {
		i := strings.LastIndex(text, open)
		if i < 0 {
			return "", false
		}
		depth := 1
		for j := i + len(open); j < len(text); j++ {
			switch text[j] {
			case '{':
				depth++
			case '}':
				depth--
			}
			if depth == 0 {
				return text[i+len(open) : j], true
			}
		}
		text = text[:i]
	}
}

func unparseable(err error) reward.Verdict {
	return reward.Verdict{Status: reward.Unparseable, Err: err}
}

var errNoAnswer = errors.New(`physics: no \boxed{…} and no <answer>…</answer>`)
