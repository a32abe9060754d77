package chat

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Tokens of ChatML.
const (
	imStart = "<|im_start|>"
	imEnd   = "<|im_end|>"
)

const (
	toolsBefore = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" +
		"You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
	toolsAfter = "\n</tools>\n\nFor each function call, return a json object with function name and arguments within " +
		"<tool_call></tool_call> XML tags:\n<tool_call>\n" +
		`{"name": <function-name>, "arguments": <args-json-object>}` + "\n</tool_call>" + imEnd + "\n"
	qwenSystem  = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
	smolSystem  = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
	responseTag = "<tool_response>"
	responseEnd = "</tool_response>"
)

// turn writes a message of ChatML.
func turn(w *writer, role, content string) {
	w.WriteString(imStart + role + "\n")
	if role == Assistant {
		w.answer(content + imEnd)
	} else {
		w.WriteString(content + imEnd)
	}
	w.WriteString("\n")
}

func renderSmolLM2(w *writer, messages []Message, o Options) error {
	if messages[0].Role != System {
		turn(w, System, smolSystem)
	}
	for _, m := range messages {
		turn(w, m.Role, m.Content)
	}
	if o.Generate {
		w.WriteString(imStart + Assistant + "\n")
	}
	return nil
}

// renderSystem writes Qwen's system message with the tools. If there are neither, it writes
// nothing.
func renderSystem(w *writer, system string, tools []json.RawMessage) error {
	if len(tools) == 0 {
		if system != "" {
			w.WriteString(system + imEnd + "\n")
		}
		return nil
	}
	w.WriteString(system + toolsBefore)
	for i, tool := range tools {
		text, err := python(tool, 0)
		if err != nil {
			return fmt.Errorf("tool %d: %w", i, err)
		}
		w.WriteString("\n" + text)
	}
	w.WriteString(toolsAfter)
	return nil
}

func renderQwen25(w *writer, messages []Message, o Options) error {
	system := qwenSystem
	if messages[0].Role == System {
		system = messages[0].Content
	}
	system = imStart + System + "\n" + system
	if len(o.Tools) > 0 {
		system += "\n\n"
	}
	if err := renderSystem(w, system, o.Tools); err != nil {
		return err
	}
	for i, m := range messages {
		switch {
		case m.Role == Tool:
			renderResponse(w, messages, i)
		case m.Role == Assistant && len(m.ToolCalls) > 0:
			text := m.Content
			for _, call := range m.ToolCalls {
				written, err := renderCall(call)
				if err != nil {
					return fmt.Errorf("message %d: %w", i, err)
				}
				if text != "" {
					text += "\n"
				}
				text += written
			}
			turn(w, Assistant, text)
		case m.Role != System || i > 0:
			turn(w, m.Role, m.Content)
		}
	}
	if o.Generate {
		w.WriteString(imStart + Assistant + "\n")
	}
	return nil
}

// renderCall returns a tool call in Qwen's format.
func renderCall(call ToolCall) (string, error) {
	arguments, err := call.python()
	if err != nil {
		return "", err
	}
	return "<tool_call>\n{\"name\": \"" + call.Name + "\", \"arguments\": " + arguments + "}\n</tool_call>", nil
}

// renderResponse writes the tool message i. Consecutive tool messages form one user turn.
func renderResponse(w *writer, messages []Message, i int) {
	if i == 0 || messages[i-1].Role != Tool {
		w.WriteString(imStart + User)
	}
	w.WriteString("\n" + responseTag + "\n" + messages[i].Content + "\n" + responseEnd)
	if i == len(messages)-1 || messages[i+1].Role != Tool {
		w.WriteString(imEnd + "\n")
	}
}

func renderQwen3(w *writer, messages []Message, o Options) error {
	system := ""
	if messages[0].Role == System {
		system = imStart + System + "\n" + messages[0].Content
	}
	if len(o.Tools) > 0 {
		if system == "" {
			system = imStart + System + "\n"
		} else {
			system += "\n\n"
		}
	}
	if err := renderSystem(w, system, o.Tools); err != nil {
		return err
	}
	query := len(messages) - 1 // index of the last question; answers after it keep their reasoning
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		if m.Role == User && !(strings.HasPrefix(m.Content, responseTag) && strings.HasSuffix(m.Content, responseEnd)) {
			query = i
			break
		}
	}
	for i, m := range messages {
		switch {
		case m.Role == Tool:
			renderResponse(w, messages, i)
		case m.Role == Assistant:
			if err := renderQwen3Answer(w, m, i > query, i == len(messages)-1); err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
		case m.Role != System || i > 0:
			turn(w, m.Role, m.Content)
		}
	}
	if o.Generate {
		w.WriteString(imStart + Assistant + "\n")
		if o.Thinking == Off {
			w.WriteString(thinkOpen + "\n\n" + thinkClose + "\n\n")
		}
	}
	return nil
}

// renderQwen3Answer writes an answer, with its reasoning if it comes after the last
// question.
func renderQwen3Answer(w *writer, m Message, afterQuery, last bool) error {
	content, reasoning := m.Content, m.Reasoning
	if reasoning == "" && strings.Contains(content, thinkClose) {
		before, _, _ := strings.Cut(content, thinkClose)
		before = strings.TrimRight(before, "\n")
		if at := strings.LastIndex(before, thinkOpen); at >= 0 {
			before = before[at+len(thinkOpen):]
		}
		reasoning = strings.TrimLeft(before, "\n")
		content = strings.TrimLeft(content[strings.LastIndex(content, thinkClose)+len(thinkClose):], "\n")
	}
	text := content
	if afterQuery && (last || reasoning != "") {
		text = thinkOpen + "\n" + strings.Trim(reasoning, "\n") + "\n" + thinkClose + "\n\n" + strings.TrimLeft(content, "\n")
	}
	for i, call := range m.ToolCalls {
		if i > 0 || content != "" {
			text += "\n"
		}
		written, err := renderCall(call)
		if err != nil {
			return err
		}
		text += written
	}
	turn(w, Assistant, text)
	return nil
}
