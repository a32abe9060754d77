package chat

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// conversation is an entry of a file written by testdata/generate.py.
type conversation struct {
	Messages []Message
	Tools    []json.RawMessage
	Generate bool
	Thinking *bool
	Date     string
	Text     string // the text that transformers renders
}

func (c conversation) options(t testing.TB) Options {
	t.Helper()
	o := Options{Tools: c.Tools, Generate: c.Generate}
	if c.Thinking != nil {
		o.Thinking = Off
		if *c.Thinking {
			o.Thinking = On
		}
	}
	if c.Date != "" {
		var err error
		if o.Date, err = time.Parse("02 Jan 2006", c.Date); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func conversations(t testing.TB, name Template) (list []conversation) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + string(name) + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTextsAreThoseOfTransformers(t *testing.T) {
	for name := range forms {
		list := conversations(t, name)
		if len(list) < 30 {
			t.Errorf("%s: %d conversations", name, len(list))
		}
		for i, c := range list {
			if got, err := name.Render(c.Messages, c.options(t)); err != nil || got != c.Text {
				t.Errorf("%s: conversation %d: error %v (-want +got):\n%s", name, i, err, cmp.Diff(c.Text, got))
			}
		}
	}
}

func TestPartsAreTheText(t *testing.T) {
	for name := range forms {
		for i, c := range conversations(t, name) {
			parts, err := name.RenderParts(c.Messages, c.options(t))
			text := ""
			for _, p := range parts {
				text += p.Text
			}
			if err != nil || text != c.Text {
				t.Errorf("%s: conversation %d: error %v (-want +got):\n%s", name, i, err, cmp.Diff(c.Text, text))
			}
		}
	}
}

// Each answer is a part that follows its prompt and ends with the end token.
func TestAnswersAreParts(t *testing.T) {
	messages := []Message{{Role: User, Content: "Hi"}, {Role: Assistant, Content: "Hello"}, {Role: User, Content: "4?"},
		{Role: Assistant, Content: "Yes"}}
	for name := range forms {
		parts, err := name.RenderParts(messages, Options{})
		if err != nil {
			t.Fatal(err)
		}
		prompt, err := name.Render(messages[:3], Options{Generate: true})
		if err != nil {
			t.Fatal(err)
		}
		thought := ""
		switch name {
		case Qwen3:
			thought = "<think>\n\n</think>\n\n"
		case DeepSeekR1:
			prompt = strings.TrimSuffix(prompt, "<think>\n")
		}
		var answers []string
		before := ""
		for i, p := range parts {
			if p.Answer {
				answers = append(answers, p.Text)
			}
			if i < 3 {
				before += p.Text
			}
		}
		want := []string{"Hello" + name.End(), thought + "Yes" + name.End()}
		if !cmp.Equal(answers, want) || before != prompt {
			t.Errorf("%s: answers %q, want %q; the last is after %q, the prompt is %q", name, answers, want, before, prompt)
		}
	}
}

func TestWhatATemplateHasNoPlaceForIsRefused(t *testing.T) {
	hi := []Message{{Role: User, Content: "Hi"}}
	call := Message{Role: Assistant, Content: "Let me see.", ToolCalls: []ToolCall{{Name: "f", Arguments: "{}"}}}
	for _, c := range []struct {
		t        Template
		messages []Message
		o        Options
		want     string
	}{
		{"GPT", hi, Options{}, `template "GPT"`},
		{DeepSeekV3, hi, Options{Tools: []json.RawMessage{[]byte("{}")}}, "tools"},
		{DeepSeekV3, hi, Options{Thinking: On}, "thinking on"},
		{DeepSeekR1, hi, Options{Thinking: Off}, "thinking off"},
		{DeepSeekV3, append(hi, call), Options{}, "message 1 has both text and tool calls"},
		{Llama3, append(hi, call), Options{}, "message 1 of role assistant has tool calls"},
		{SmolLM2, append(hi, Message{Role: Tool}), Options{}, "message 1 is of a tool"},
		{Qwen25, append(hi, Message{Role: Assistant, Reasoning: "x"}), Options{}, "message 1 has reasoning"},
		{Qwen3, hi, Options{Date: time.Now()}, "date"},
		{Llama31, append(hi, call), Options{}, "message 1 has more than one tool call, or both text and a tool call"},
		{Llama32, append(hi, Message{Role: Assistant, ToolCalls: []ToolCall{{"f", "{}"}, {"f", "{}"}}}), Options{},
			"message 1 has more than one tool call"},
		{Llama31, []Message{{Role: Assistant}}, Options{Tools: []json.RawMessage{[]byte("{}")}},
			"message 0 is of role assistant"},
	} {
		if _, err := c.t.Render(c.messages, c.o); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.t, err, c.want)
		}
	}
	for want, messages := range map[string][]Message{
		"no messages":             nil,
		`message 0: role "robot"`: {{Role: "robot"}},
		"arguments of f: JSON":    {{Role: Assistant, ToolCalls: []ToolCall{{Name: "f", Arguments: "{"}}}},
		"text after the value":    {{Role: Assistant, ToolCalls: []ToolCall{{Name: "f", Arguments: "{} x"}}}},
		"nested deeper than 1000": {{Role: Assistant,
			ToolCalls: []ToolCall{{Name: "f", Arguments: strings.Repeat("[", 5000)}}}},
	} {
		if _, err := Qwen3.Render(messages, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// Without Options.Date, Llama-3.2 uses the current date; Llama-3.1 uses a fixed one, which
// the fixtures test.
func TestPromptsOfLlama32TellTheDay(t *testing.T) {
	hi := []Message{{Role: User, Content: "Hi"}}
	before := time.Now()
	got, err := Llama32.Render(hi, Options{})
	for _, day := range []time.Time{before, time.Now()} { // the date may change during the test
		if strings.Contains(got, "\nToday Date: "+day.Format("02 Jan 2006")+"\n") {
			return
		}
	}
	t.Errorf("%q, error %v", got, err)
}

// jinja returns the Jinja text of SmolLM2's template.
func jinja(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/SmolLM2.jinja")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFindIgnoresLayoutAlone(t *testing.T) {
	smol := jinja(t)
	for _, text := range []string{
		smol,
		strings.ReplaceAll(smol, "\n", `\n`),
		strings.ReplaceAll(smol, "{% if", "\n  {%- if"),
		strings.ReplaceAll(smol, "{% endif %}", "{% endif -%}\n\n"),
		strings.ReplaceAll(smol, "%}{{", "%}\n{{"), // as with trim_blocks
		smol + "\n",
	} {
		if got, err := Find(text); got != SmolLM2 || err != nil {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "{", "{%", "{{ '", "{# ", "{%-%}", "{{}}", "x",
		strings.ReplaceAll(smol, "{% endif %}", "{% endif %} \n"),
		strings.ReplaceAll(smol, "}}{%", "}}\n{%"),
		strings.ReplaceAll(smol, "SmolLM, trained", "SmolLM,  trained"),
	} {
		if got, err := Find(text); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func TestAnswersAreParsed(t *testing.T) {
	weather := []ToolCall{{Name: "weather", Arguments: `{"city": "Zürich"}`}}
	two := append(weather[:1:1], ToolCall{Name: "add", Arguments: `{}`})
	const fenced = callBegin + "function" + callSep + "weather\n```json\n{\"city\": \"Zürich\"}\n```" + callEnd
	const plain = callBegin + "weather" + callSep + `{"city": "Zürich"}` + callEnd
	const tagged = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>"
	for _, c := range []struct {
		t    Template
		text string
		o    Options
		want Message
	}{
		{DeepSeekR1, "Add.\n</think>\n\n4<｜end▁of▁sentence｜>", Options{}, Message{Reasoning: "Add.", Content: "4"}},
		{DeepSeekR1, "<think>\nAdd.\n</think>\n\n4", Options{}, Message{Reasoning: "Add.", Content: "4"}},
		{DeepSeekR1, "Add. And then", Options{}, Message{Reasoning: "Add. And then"}},
		{DeepSeekR1, "x</think>a</think>b", Options{}, Message{Reasoning: "x", Content: "a</think>b"}},
		{DeepSeekR1, "x</think>" + callsBegin + fenced + callsEnd, Options{}, Message{Reasoning: "x", ToolCalls: weather}},
		{DeepSeekV3, "See.\n" + callsBegin + fenced + "\n" +
			strings.NewReplacer("weather", "add", `{"city": "Zürich"}`, "{}").Replace(fenced) + callsEnd,
			Options{}, Message{Content: "See.", ToolCalls: two}},
		{DeepSeekV3, "a</think>b", Options{}, Message{Content: "a</think>b"}},
		{DeepSeekV31, "a", Options{}, Message{Content: "a"}},
		{DeepSeekV31, "t</think>a" + callsBegin + plain + callsEnd, Options{Thinking: On},
			Message{Reasoning: "t", Content: "a", ToolCalls: weather}},
		{Qwen3, "<think>\nt\n</think>\n\na<|im_end|>", Options{}, Message{Reasoning: "t", Content: "a"}},
		{Qwen3, "<think>\nt", Options{}, Message{Reasoning: "t"}},
		{Qwen3, "a", Options{Thinking: Off}, Message{Content: "a"}},
		{Qwen25, tagged + "\n" + strings.NewReplacer("weather", "add", `{"city": "Zürich"}`, "{}").Replace(tagged),
			Options{}, Message{ToolCalls: two}},
		{Llama3, " 4 <|eot_id|>", Options{}, Message{Content: "4"}},
		{Llama31, ` {"name": "weather", "parameters": {"city": "Zürich"}}<|eot_id|>`, Options{},
			Message{ToolCalls: weather}},
		{Llama32, `{"name": "f", "parameters": 1}`, Options{}, Message{Content: `{"name": "f", "parameters": 1}`}},
		{Llama32, `See {"name": "f", "parameters": {}}`, Options{}, Message{Content: `See {"name": "f", "parameters": {}}`}},
		{SmolLM2, "4<|im_end|>", Options{}, Message{Content: "4"}},
	} {
		c.want.Role = Assistant
		got, err := c.t.Parse(c.text, c.o)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %q: error %v (-want +got):\n%s", c.t, c.text, err, cmp.Diff(c.want, got))
		}
	}
}

func TestBadCallsAreNamed(t *testing.T) {
	for _, c := range []struct {
		t    Template
		text string
		want string
	}{
		{DeepSeekV3, "a" + callsBegin + callBegin + "x", callEnd},
		{DeepSeekV3, "a" + callsBegin + callBegin + "x" + callEnd, "is no function"},
		{DeepSeekV31, "a" + callsBegin + callBegin + "x" + callEnd, "is no NAME"},
		{DeepSeekV31, "a" + callsBegin + callBegin + "x" + callSep + "{" + callEnd, "no JSON"},
		{Qwen3, "a<tool_call>{</tool_call>", "tool call 0: unexpected end"},
		{Qwen3, "a<tool_call>{}</tool_call>", "has no name"},
		{Qwen3, "a<tool_call>", "</tool_call>"},
		{"GPT", "", "GPT"},
	} {
		m, err := c.t.Parse(c.text, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || c.t != "GPT" && m.Content != "a" {
			t.Errorf("%s: %q: %+v, error %v, want %s", c.t, c.text, m, err, c.want)
		}
	}
}

// TestRenderedAnswersAreParsed renders calls as the last answer and parses them again.
func TestRenderedAnswersAreParsed(t *testing.T) {
	want := Message{Role: Assistant,
		ToolCalls: []ToolCall{{Name: "f", Arguments: `{"a": 1}`}, {Name: "g", Arguments: `{}`}}}
	question := []Message{{Role: User, Content: "Hi"}}
	one := Message{Role: Assistant, ToolCalls: want.ToolCalls[:1]}
	for name, want := range map[Template]Message{DeepSeekV3: want, DeepSeekV31: want, Qwen25: want, Qwen3: want,
		Llama31: one, Llama32: one} {
		prompt, err := name.Render(question, Options{Generate: true, Thinking: Off})
		if err != nil {
			t.Fatal(err)
		}
		all, err := name.Render(append(question, want), Options{})
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := strings.CutPrefix(all, prompt)
		if i := strings.Index(all, "<think>\n\n</think>\n\n"); i >= 0 {
			answer = all[i:]
		}
		got, err := name.Parse(strings.TrimSuffix(answer, "\n"), Options{})
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %q: error %v (-want +got):\n%s", name, answer, err, cmp.Diff(want, got))
		}
	}
}
