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

// Message is a message of a conversation. Its JSON is that of chat completions.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	// Reasoning is the reasoning before an answer.
	Reasoning string     `json:"reasoning_content,omitempty"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
}

// ToolCall is a call of a tool by the assistant.
type ToolCall struct {
	Name      string
	Arguments string // JSON
}

// UnmarshalJSON reads {"type": "function", "function": {"name": …, "arguments": …}}, where
// arguments may be an object or its JSON as a string.
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

// MarshalJSON is the inverse of UnmarshalJSON, with arguments as a string.
func (c ToolCall) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"type": "function", "function": map[string]string{
		"name": c.Name, "arguments": c.Arguments}})
}

// Options describes how a conversation is rendered.
type Options struct {
	// Tools are JSON descriptions of the functions that the model may call.
	Tools []json.RawMessage
	// Generate appends the beginning of an answer, for the model to continue.
	Generate bool
	// Thinking selects whether the answer begins with reasoning, for models that support
	// both.
	Thinking Thinking
	// Date is the current date in prompts that include it, those of Llama-3.1 and
	// Llama-3.2. If zero, it is the default of the template: 26 July 2024 for Llama-3.1,
	// the current date for Llama-3.2.
	Date time.Time
}

// Thinking selects whether a model reasons before it answers.
type Thinking uint8

const (
	Default Thinking = iota // the default of the template
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

// Template is the chat format of a family of models.
type Template string

const (
	DeepSeekV3  Template = "DeepSeek-V3"
	DeepSeekV31 Template = "DeepSeek-V3.1" // thinks if Thinking is On
	DeepSeekR1  Template = "DeepSeek-R1"   // R1 and its distills; always thinks
	Qwen25      Template = "Qwen2.5"
	Qwen3       Template = "Qwen3" // thinks unless Thinking is Off
	Llama3      Template = "Llama-3"
	Llama31     Template = "Llama-3.1" // also Llama-3.3; tools are part of the first user message
	Llama32     Template = "Llama-3.2" // like Llama-3.1, except for the date
	SmolLM2     Template = "SmolLM2"
)

// ErrUnsupported is wrapped by errors about conversations that a template cannot render.
var ErrUnsupported = errors.New("not supported")

// form describes how a Template renders.
type form struct {
	render func(w *writer, messages []Message, o Options) error
	// Features that the template supports.
	tools, calls   bool
	dated          bool // whether the prompt includes the date
	thinks         []Thinking
	ends           string // token that ends an answer
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

// writer collects the text of a conversation and its division into parts.
type writer struct {
	strings.Builder
	parts []Part // without the text after the last answer
	from  int    // offset of that text
}

// answer writes an answer of the assistant, with the token that ends it.
func (w *writer) answer(text string) {
	w.other()
	w.parts = append(w.parts, Part{Text: text, Answer: true})
	w.WriteString(text)
	w.from = w.Len()
}

// other makes a part of the text since the last answer, if there is any.
func (w *writer) other() {
	if text := w.String()[w.from:]; text != "" {
		w.parts = append(w.parts, Part{Text: text})
	}
}

// Part is a part of a conversation's text.
type Part struct {
	Text string
	// Answer reports whether the assistant writes this part. The part then includes the token
	// that ends the answer.
	Answer bool
}

// End returns the token that ends an answer.
func (t Template) End() string { return forms[t].ends }

// Render returns messages as text, including BOS, as the Jinja template does. A message or
// option that the template would ignore or fail on is an error that wraps ErrUnsupported.
func (t Template) Render(messages []Message, o Options) (string, error) {
	w, err := t.write(messages, o)
	if err != nil {
		return "", err
	}
	return w.String(), nil
}

// RenderParts returns the text of Render in parts: those that the assistant writes, which
// are to be learned, and those in between. An answer begins at the end of its prompt, or
// before the reasoning tags at the end of that prompt.
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

// check returns an error if the template does not support a message or option.
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
			return fmt.Errorf("chat: %s: message %d has reasoning, which only the template of Qwen3 renders: %w",
				t, i, ErrUnsupported)
		}
	}
	return nil
}
