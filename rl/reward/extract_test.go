package reward

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
)

// If the extracted answer is used as the gold answer, Score accepts the completion.
func TestExtractedAnswerIsTheOneThatIsScored(t *testing.T) {
	f, err := os.Open("testdata/math/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	judged := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c struct{ Gold, Completion string }
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		answer, ok := Math{}.Extract(c.Completion)
		status := Math{}.Score(t.Context(), Sample{Completion: c.Completion, Answer: c.Gold}).Status
		if !ok && (status == Correct || status == Wrong) {
			t.Errorf("%q: %v, and nothing is extracted", c.Completion, status)
		}
		if !ok {
			continue
		}
		v := Math{}.Score(t.Context(), Sample{Completion: c.Completion, Answer: answer})
		boxed := Math{}.Score(t.Context(), Sample{Completion: `\boxed{` + answer + "}", Answer: answer})
		if v.Status != boxed.Status || v.Status != Correct && v.Status != NotApplicable { // such as 1/0
			t.Errorf("%q: extracted %q, %v: %v", c.Completion, answer, v.Status, v.Err)
		}
		judged++
	}
	if judged < 400 {
		t.Errorf("only %d answers were extracted", judged)
	}
}

func TestExtractedNumbersAndLetters(t *testing.T) {
	for completion, want := range map[string]string{
		"#### 1,200 eggs": "1200", "#### -$.50": "-0.5", "</think>\n#### 7.": "7", "####": "", "7": "",
	} {
		if got, ok := (GSM8K{}).Extract(completion); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", completion, got, ok, want)
		}
	}
	if got, ok := (GSM8K{Flexible: true}).Extract("3 or 12"); got != "12" || !ok {
		t.Errorf("%q, %v", got, ok)
	}
	for completion, want := range map[string]string{
		`\boxed{c}`: "C", "The answer is (B).": "B", `\boxed{A or B}`: "", "none": "",
	} {
		if got, ok := (Choice{}).Extract(completion); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", completion, got, ok, want)
		}
	}
}
