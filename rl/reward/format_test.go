package reward

import "testing"

func TestFormats(t *testing.T) {
	const lines = "<think>\na\n</think>\n<answer>\n7\n</answer>"
	for _, c := range []struct {
		text               string
		exact, line, think float64
		tags               float64
	}{
		{"<think>1+2=3\nno</think><answer>3</answer>", 1, 0, 1, 0},
		{"<think></think><answer></answer>", 1, 0, 1, 0},
		{lines, 0, 1, 1, 1},
		{lines + "\n", 0, 1, 1, 1},
		{lines + "\nmore", 0, 0, 1, 1}, // open-r1's multi-line $ accepts this
		{"so " + lines, 0, 0, 0, 1},
		{"<think>\n</think>\n<answer>\n7\n</answer>", 0, 0, 1, 1}, // a single newline cannot count twice
		{"<think>\na\n</think>\n<answer>7</answer>", 0, 0, 1, 0.5},
		{"<think>a</think> <answer>3</answer>", 0, 0, 1, 0},
		{"<think>a</think><answer>3</answer> ", 0, 0, 1, 0},
		{"<think>a<think>b</think><answer>3</answer>", 0, 0, 0, 0},
		{"<think>a</think><answer>3</answer><answer>3</answer>", 0, 0, 1, 0},
		{"<answer>3</answer><think>a</think>", 0, 0, 0, 0},
		{"<think>a<answer>3</answer></think>", 0, 0, 1, 0},
		{"<think>a", 0, 0, 0, 0},
		{"</think><think>", 0, 0, 0, 0},
		{"", 0, 0, 0, 0},
	} {
		for _, f := range []struct {
			name  string
			score Scorer
			want  float64
		}{
			{"ThinkAnswerFormat", ThinkAnswerFormat, c.exact},
			{"LineFormat", LineFormat, c.line},
			{"ThinkFormat", ThinkFormat, c.think},
			{"TagCount", TagCount, c.tags},
		} {
			status := Wrong
			if f.want == 1 {
				status = Correct
			}
			if v := f.score(t.Context(), Sample{Completion: c.text}); v.Value != f.want || v.Status != status {
				t.Errorf("%s(%q) = %+v, want %v", f.name, c.text, v, f.want)
			}
		}
	}
}

func TestTruncatedCompletionHasNoExactFormat(t *testing.T) {
	s := Sample{Completion: "<think>a</think><answer>3</answer>", Truncated: true}
	if v := ThinkAnswerFormat(t.Context(), s); v.Value != 0 || v.Status != Wrong {
		t.Errorf("%+v, want 0", v)
	}
}
