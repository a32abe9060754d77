package main

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/rl/reward"
)

func TestPrompts(t *testing.T) {
	dir := tinyModel(t)
	tok, err := tokenizer.Load(dir)
	must(t, err)
	for _, c := range []struct {
		template, system, line, text, prefill string
	}{
		{"chat", "", `{"question": "1+1?", "answer": "2"}`, "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n", ""},
		{"chat", "Be short.", `{"prompt": [{"role": "user", "content": "1+1?"}], "answer": 2}`,
			"<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n", ""},
		{"none", "", `{"prompt": "1+1=", "answer": ["2", "two"]}`, "1+1=", ""},
		{"plain", "", `{"prompt": "1+1?", "answer": "2"}`, "Question:\n1+1?\nAnswer:\nLet's think step by step.\n",
			"Let's think step by step.\n"},
		{"r1-zero", "", `{"prompt": "1+1?", "answer": "2"}`, "User: 1+1?. Assistant:", ""},
		{"tinyzero", "", `{"prompt": "1+1?", "answer": "2"}`, "Assistant: Let me solve this step by step.\n<think>",
			" Let me solve this step by step.\n<think>"},
	} {
		cfg := base()
		cfg.Template, cfg.System = c.template, c.system
		w, err := newWriter(&cfg, dir, 616)
		must(t, err)
		var l line
		must(t, json.Unmarshal([]byte(c.line), &l))
		p, err := w.prompt(l)
		must(t, err)
		if !strings.HasSuffix(p.Text, c.text) || p.Prefill != c.prefill || tok.Decode(p.IDs) != p.Text {
			t.Errorf("%s: %q, prefill %q", c.template, p.Text, p.Prefill)
		}
		if c.system != "" && p.Text != c.text {
			t.Errorf("%s: %q, want %q", c.template, p.Text, c.text)
		}
	}
}

func TestBadLinesAreNamed(t *testing.T) {
	cfg := base()
	cfg.Template = "none"
	w, err := newWriter(&cfg, tinyModel(t), 616)
	must(t, err)
	for text, want := range map[string]string{
		`{"answer": "2"}`: `want "prompt" or "question"`,
		`{"prompt": "a", "question": "b", "answer": "2"}`: `want "prompt" or "question"`,
		`{"prompt": 3, "answer": "2"}`:                    `"prompt" is neither a text nor messages`,
		`{"prompt": [{"role": "user"}], "answer": "2"}`:   `which template none does not support`,
		`{"prompt": "a"}`:                                 `"answer", as the "gold" of reward math: there is no "gold"`,
		`{"prompt": "a", "answer": {"x": 1}}`:             `"answer", as the "gold" of reward math`,
		`{"prompt": "", "answer": "2"}`:                   `the prompt has no tokens`,
		`{"prompt": "a", "answer": "2"`:                   `unexpected end of JSON`,
	} {
		path := write(t, "bad.jsonl", "\n"+text+"\n")
		if _, err := w.read(path, 100); err == nil || !strings.HasPrefix(err.Error(), path+": line 2: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

// Each reward scores a sample with the gold answer that it decoded.
func TestRewardsSeeTheirGold(t *testing.T) {
	cfg := base()
	must(t, cfg.Rewards.UnmarshalText([]byte(
		"math, gsm8k=0.5, language=0, format_spaced, overlong=2, length, cosine=0.1")))
	must(t, cfg.Rewards.check())
	if got := cfg.Rewards.String(); got != "cosine=0.1,format_spaced,gsm8k=0.5,language=0,length,math,overlong=2" {
		t.Errorf("%s", got)
	}
	cfg.MaxTokens = 10
	golds, err := cfg.Rewards.golds(json.RawMessage(`"1+1 is\n#### 2"`))
	must(t, err)
	s := reward.Sample{Prompt: "What is it?", Answer: golds, IDs: make([]int32, 9),
		Completion: " <think>so it is</think> <answer>#### 2</answer>\n"}
	suite := cfg.suite()
	must(t, suite.Validate())
	scores, err := suite.Score(context.Background(), []reward.Sample{s, s})
	must(t, err)
	got := map[string]float64{}
	for f, name := range scores.Functions {
		if v := scores.Verdicts[f][0]; !v.Status.Scored() {
			t.Errorf("%s: %v, %v", name, v.Status, v.Err)
		} else {
			got[name] = v.Value
		}
	}
	want := map[string]float64{"math": 1, "gsm8k": 1, "language": 1, "format_spaced": 1, "overlong": -0.5, "length": 0}
	cos := got["cosine"]
	delete(got, "cosine")
	if !reflect.DeepEqual(got, want) || !(cos > 0.5 && cos < 0.53) {
		t.Errorf("%v and cosine %g, want %v", got, cos, want)
	}
	if total := scores.Totals[0].Value; total < 1+0.5+1-1+0.05 || total > 1.56 {
		t.Errorf("total %g", total)
	}
}
