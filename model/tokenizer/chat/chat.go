package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Roles of messages.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
	Tool      = "tool" // the result of a tool
)

// Message is a part of a conversation. Its JSON is that of chat completions.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	// Reasoning is the thought before an answer.
	Reasoning string     `json:"reasoning_content,omitempty"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
}

// ToolCall asks for a tool.
type ToolCall struct {
	Name      string
	Arguments string // JSON
}

// UnmarshalJSON reads {"type": "function", "function": {"name": …, "arguments": …}}, with arguments as an
// object or as text.
func (c *ToolCall) UnmarshalJSON(text []byte) error {
	var call struct {
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	if err := json.Unmarshal(text, &call); err != nil {
		return err
	}
	c.Name, c.Arguments = call.Function.Name, string(call.Function.Arguments)
	if strings.HasPrefix(c.Arguments, `"`) {
		return json.Unmarshal(call.Function.Arguments, &c.Arguments)
	}
	return nil
}

// MarshalJSON is the inverse of UnmarshalJSON, with arguments as text.
func (c ToolCall) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"type": "function", "function": map[string]string{
		"name": c.Name, "arguments": c.Arguments}})
}

// Options say how a conversation is rendered.
type Options struct {
	// Tools are JSON descriptions of the functions that the model may call.
	Tools []json.RawMessage
	// Generate appends what an answer begins with.
	Generate bool
	// Thinking says whether the answer begins with a thought, in models that have both.
	Thinking Thinking
	// Date is today's in prompts that tell it, those of Llama-3.1 and Llama-3.2. Without one it is as the
	// template does by itself: 26 July 2024 or, of Llama-3.2, that of the clock.
	Date time.Time
}

// Thinking is whether a model thinks before it answers.
type Thinking uint8

const (
	Default Thinking = iota // as the template does by itself
	On
	Off
)

func (t Thinking) String() string {
	switch t {
	case Default:
		return "default"
	case On:
		return "on"
	case Off:
		return "off"
	}
	return fmt.Sprintf("Thinking(%d)", uint8(t))
}

// Template is the form of conversations of a family of models.
type Template string

const (
	DeepSeekV3  Template = "DeepSeek-V3"
	DeepSeekV31 Template = "DeepSeek-V3.1" // thinks if Thinking is On
	DeepSeekR1  Template = "DeepSeek-R1"   // R1 and its distills; always thinks
	Qwen25      Template = "Qwen2.5"
	Qwen3       Template = "Qwen3" // thinks unless Thinking is Off
	Llama3      Template = "Llama-3"
	Llama31     Template = "Llama-3.1" // Llama-3.3's too; tools stand in the first message of the user
	Llama32     Template = "Llama-3.2" // as Llama-3.1's, but for the date
	SmolLM2     Template = "SmolLM2"
)

// ErrUnsupported is wrapped by errors about what a template has no form for.
var ErrUnsupported = errors.New("not supported")

// form is how a Template renders.
type form struct {
	render func(w *writer, messages []Message, o Options) error
	// What it has a place for.
	tools, calls   bool
	dated          bool // whether the prompt tells the date
	thinks         []Thinking
	ends           string // what ends an answer
	parseReasoning func(m *Message, text string, o Options)
	parseCalls     func(m *Message) error
}

var forms = map[Template]form{
	DeepSeekV3: {renderDeepSeekV3, false, true, false, []Thinking{Off}, endOfSentence, nil, parseFencedCalls},
	DeepSeekV31: {renderDeepSeekV31, false, true, false, []Thinking{On, Off}, endOfSentence,
		func(m *Message, text string, o Options) {
			if m.Content = text; o.Thinking == On {
				parseOpenThought(m, text)
			}
		}, parsePlainCalls},
	DeepSeekR1: {renderDeepSeekR1, false, true, false, []Thinking{On}, endOfSentence,
		func(m *Message, text string, _ Options) { parseOpenThought(m, text) }, parseFencedCalls},
	Qwen25: {renderQwen25, true, true, false, []Thinking{Off}, imEnd, nil, parseTaggedCalls},
	Qwen3: {renderQwen3, true, true, false, []Thinking{On, Off}, imEnd, func(m *Message, text string, o Options) {
		parseTaggedThought(m, text)
	}, parseTaggedCalls},
	Llama3:  {renderLlama3, false, false, false, []Thinking{Off}, eotID, nil, nil},
	Llama31: {renderLlama31, true, true, true, []Thinking{Off}, eotID, nil, parseBareCall},
	Llama32: {renderLlama32, true, true, true, []Thinking{Off}, eotID, nil, parseBareCall},
	SmolLM2: {renderSmolLM2, false, false, false, []Thinking{Off}, imEnd, nil, nil},
}

// writer is a conversation as text, and where in it the answers are.
type writer struct {
	strings.Builder
	parts []Part // without the text after the last answer
	from  int    // where that text begins
}

// answer writes what the assistant says, with the token that ends it.
func (w *writer) answer(text string) {
	w.other()
	w.parts = append(w.parts, Part{Text: text, Answer: true})
	w.WriteString(text)
	w.from = w.Len()
}

// other makes the text since the last answer a part, if there is some.
func (w *writer) other() {
	if text := w.String()[w.from:]; text != "" {
		w.parts = append(w.parts, Part{Text: text})
	}
}

// Part is a part of a conversation as text.
type Part struct {
	Text string
	// Answer says that the assistant writes it. The token that ends an answer is the last of it.
	Answer bool
}

// End is the token that ends an answer.
func (t Template) End() string { return forms[t].ends }

// Render returns messages as text, BOS included, as the Jinja template does. What the template has no
// place for, and would leave out or fail on, is an error that wraps ErrUnsupported.
func (t Template) Render(messages []Message, o Options) (string, error) {
	w, err := t.write(messages, o)
	if err != nil {
		return "", err
	}
	return w.String(), nil
}

// RenderParts returns the text of Render in parts: what the assistant writes, to learn it, and what is between.
// An answer begins where the prompt for it ends, or before the tags of a thought at the end of that prompt.
func (t Template) RenderParts(messages []Message, o Options) ([]Part, error) {
	w, err := t.write(messages, o)
	if err != nil {
		return nil, err
	}
	w.other()
	return w.parts, nil
}

func (t Template) write(messages []Message, o Options) (*writer, error) {
	f, ok := forms[t]
	if !ok {
		return nil, fmt.Errorf("chat: template %q: %w", string(t), ErrUnsupported)
	}
	if err := t.check(f, messages, o); err != nil {
		return nil, err
	}
	w := new(writer)
	if err := f.render(w, messages, o); err != nil {
		return nil, fmt.Errorf("chat: %s: %w", t, err)
	}
	return w, nil
}

// check reports what the template has no place for.
func (t Template) check(f form, messages []Message, o Options) error {
	switch {
	case len(messages) == 0:
		return fmt.Errorf("chat: %s: no messages", t)
	case len(o.Tools) > 0 && !f.tools:
		return fmt.Errorf("chat: %s: tools: %w", t, ErrUnsupported)
	case o.Thinking != Default && !slices.Contains(f.thinks, o.Thinking):
		return fmt.Errorf("chat: %s: thinking %v: %w", t, o.Thinking, ErrUnsupported)
	case !o.Date.IsZero() && !f.dated:
		return fmt.Errorf("chat: %s: date: %w", t, ErrUnsupported)
	}
	for i, m := range messages {
		switch {
		case !slices.Contains([]string{System, User, Assistant, Tool}, m.Role):
			return fmt.Errorf("chat: message %d: role %q, want system, user, assistant or tool", i, m.Role)
		case len(m.ToolCalls) > 0 && (m.Role != Assistant || !f.calls):
			return fmt.Errorf("chat: %s: message %d of role %s has tool calls: %w", t, i, m.Role, ErrUnsupported)
		case m.Role == Tool && !f.calls:
			return fmt.Errorf("chat: %s: message %d is of a tool: %w", t, i, ErrUnsupported)
		case m.Reasoning != "" && t != Qwen3:
			return fmt.Errorf("chat: %s: message %d has reasoning, which only Qwen3 is given again: %w", t, i, ErrUnsupported)
		}
	}
	return nil
}
