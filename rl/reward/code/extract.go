package code

import (
	"slices"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// labels are what fenced blocks of a language are labelled with.
var labels = map[Language][]string{
	Python: {"python", "py", "python3"},
	Go:     {"go", "golang"},
}

// LastBlock returns the text of the last fenced code block of a completion that is labelled
// with the language, or of the last without a label if there is none, and whether there is
// one. It looks at [reward.AfterThinking], and there in the last <answer>…</answer> if that
// holds a block. A block that is not closed is none.
func LastBlock(completion string, language Language) (program string, ok bool) {
	completion = reward.AfterThinking(completion)
	if answer, found := reward.LastAnswer(completion); found {
		if program, ok := lastBlock(answer, language); ok {
			return program, true
		}
	}
	return lastBlock(completion, language)
}

func lastBlock(text string, language Language) (program string, ok bool) {
	labelled := false
	fence, label := "", "" // of the open block
	var block strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		ticks := trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
		switch {
		case fence == "" && len(ticks) >= 3:
			fence, label = ticks, strings.ToLower(trimmed[len(ticks):])
			block.Reset()
		case fence != "" && len(ticks) >= len(fence) && ticks == trimmed:
			fence = ""
			if own := slices.Contains(labels[language], label); own || label == "" && !labelled {
				program, ok, labelled = block.String(), true, labelled || own
			}
		case fence != "":
			block.WriteString(line)
		}
	}
	return program, ok
}
