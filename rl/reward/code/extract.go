package code

import (
	"slices"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// labels holds the labels of fenced code blocks in each language.
var labels = map[Language][]string{
	Python: {"python", "py", "python3"},
	Go:     {"go", "golang"},
}

// LastBlock returns the last fenced code block of a completion that is labelled with the
// language or, if there is none, the last block without a label. ok is false if there is
// neither. It searches the text after the reasoning (see [reward.AfterThinking]), and there
// first the last <answer>…</answer>. A block that is not closed does not count.
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
	fence, label := "", "" // fence and label of the open block
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
