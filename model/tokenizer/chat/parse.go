package chat

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Parse parses what a model generated after a prompt with Options.Generate: reasoning,
// answer and tool calls. The token that ends an answer may be at the end of text. If the
// reasoning does not end, the answer is empty. On an error in a call, the message has
// everything before it.
func (t Template) Parse(text string, o Options) (Message, error) {
	f, ok := forms[t]
	if !ok {
		return Message{}, fmt.Errorf("chat: template %q: %w", string(t), ErrUnsupported)
	}
	m := Message{Role: Assistant}
	text = strings.TrimSuffix(text, f.ends)
	if f.parseReasoning != nil {
		f.parseReasoning(&m, text, o)
	} else {
		m.Content = text
	}
	var err error
	if f.parseCalls != nil {
		if err = f.parseCalls(&m); err != nil {
			err = fmt.Errorf("chat: %s: tool call %d: %w", t, len(m.ToolCalls), err)
		}
	}
	m.Content, m.Reasoning = strings.TrimSpace(m.Content), strings.TrimSpace(m.Reasoning)
	return m, err
}

// parseOpenThought parses a text that begins inside the reasoning.
func parseOpenThought(m *Message, text string) {
	m.Reasoning, m.Content, _ = strings.Cut(text, thinkClose)
	m.Reasoning = strings.TrimPrefix(strings.TrimSpace(m.Reasoning), thinkOpen)
}

// parseTaggedThought parses a text that may begin with tagged reasoning.
func parseTaggedThought(m *Message, text string) {
	if rest, found := strings.CutPrefix(strings.TrimSpace(text), thinkOpen); found {
		parseOpenThought(m, rest)
	} else {
		m.Content = text
	}
}

// parseTaggedCalls parses <tool_call>{"name": …, "arguments": …}</tool_call>.
func parseTaggedCalls(m *Message) error {
	return parseBlocks(m, "<tool_call>", "<tool_call>", "</tool_call>", func(text string) (c ToolCall, err error) {
		var call struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		}
		if err := json.Unmarshal([]byte(text), &call); err != nil {
			return c, err
		}
		return ToolCall{call.Name, string(call.Arguments)}, nil
	})
}

// parseFencedCalls parses the calls of V3 and R1.
func parseFencedCalls(m *Message) error {
	return parseBlocks(m, callsBegin, callBegin, callEnd, func(text string) (c ToolCall, err error) {
		kind, rest, _ := strings.Cut(text, callSep)
		name, fenced, found := strings.Cut(rest, "\n```json\n")
		arguments, fenceEnds := strings.CutSuffix(strings.TrimSpace(fenced), "\n```")
		if kind != "function" || !found || !fenceEnds {
			return c, fmt.Errorf("%q is no function%sNAME with fenced JSON", text, callSep)
		}
		return ToolCall{name, arguments}, nil
	})
}

// parsePlainCalls parses the calls of V3.1.
func parsePlainCalls(m *Message) error {
	return parseBlocks(m, callsBegin, callBegin, callEnd, func(text string) (c ToolCall, err error) {
		name, arguments, found := strings.Cut(text, callSep)
		if !found {
			return c, fmt.Errorf("%q is no NAME%sJSON", text, callSep)
		}
		return ToolCall{name, arguments}, nil
	})
}

// parseBareCall parses an answer of the form {"name": …, "parameters": {…}}, which is a
// call of Llama-3.1. Calls are not marked, so an answer of any other form is text.
func parseBareCall(m *Message) error {
	var call struct {
		Name       string          `json:"name"`
		Parameters json.RawMessage `json:"parameters"`
	}
	err := json.Unmarshal([]byte(m.Content), &call)
	if err == nil && call.Name != "" && strings.HasPrefix(string(call.Parameters), "{") {
		m.Content, m.ToolCalls = "", []ToolCall{{call.Name, string(call.Parameters)}}
	}
	return nil
}

// parseBlocks cuts the content at the first list, and parses the text between each begin
// and end.
func parseBlocks(m *Message, list, begin, end string, read func(text string) (ToolCall, error)) error {
	at := strings.Index(m.Content, list)
	if at < 0 {
		return nil
	}
	rest := m.Content[at:]
	m.Content = m.Content[:at]
	for {
		_, after, found := strings.Cut(rest, begin)
		if !found {
			return nil
		}
		block, after, found := strings.Cut(after, end)
		if !found {
			return fmt.Errorf("%q has no %s", block, end)
		}
		call, err := read(block)
		if err != nil {
			return err
		}
		if call.Name == "" || !json.Valid([]byte(call.Arguments)) {
			return fmt.Errorf("%q has no name or no JSON", block)
		}
		m.ToolCalls = append(m.ToolCalls, call)
		rest = after
	}
}
