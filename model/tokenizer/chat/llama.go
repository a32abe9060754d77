package chat

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// eotID ends the turns of Llama-3.
const eotID = "<|eot_id|>"

const (
	llamaToolsBefore = "Given the following functions, please respond with a JSON for a function call with its proper " +
		"arguments that best answers the given prompt.\n\n" +
		`Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.` +
		"Do not use variables.\n\n"
	llamaCutoff = "Cutting Knowledge Date: December 2023\n"
)

// llamaDate is the default date of Llama-3.1's template.
var llamaDate = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

// strip trims text as Python's strip does, which also removes ASCII separators.
func strip(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

// header writes the role of the following message.
func header(w *writer, role string) {
	w.WriteString("<|start_header_id|>" + role + "<|end_header_id|>\n\n")
}

// llamaTurn writes a message of Llama-3 without trimming it.
func llamaTurn(w *writer, role, text string) {
	header(w, role)
	if role == Assistant {
		w.answer(text + eotID)
	} else {
		w.WriteString(text + eotID)
	}
}

func renderLlama3(w *writer, messages []Message, o Options) error {
	w.WriteString("<|begin_of_text|>")
	for _, m := range messages {
		llamaTurn(w, m.Role, strip(m.Content))
	}
	if o.Generate {
		header(w, Assistant)
	}
	return nil
}

func renderLlama31(w *writer, messages []Message, o Options) error {
	if o.Date.IsZero() {
		o.Date = llamaDate
	}
	return renderDated(w, messages, o)
}

func renderLlama32(w *writer, messages []Message, o Options) error {
	if o.Date.IsZero() {
		o.Date = time.Now()
	}
	return renderDated(w, messages, o)
}

// renderDated writes the format that Llama-3.1 and Llama-3.2 share.
func renderDated(w *writer, messages []Message, o Options) error {
	w.WriteString("<|begin_of_text|>")
	at, system := 0, ""
	if messages[0].Role == System {
		at, system = 1, strip(messages[0].Content)
	}
	environment := ""
	if len(o.Tools) > 0 {
		environment = "Environment: ipython\n"
	}
	llamaTurn(w, System, environment+llamaCutoff+"Today Date: "+o.Date.Format("02 Jan 2006")+"\n\n"+system)
	if len(o.Tools) > 0 {
		if at == len(messages) {
			return errors.New("there is no user message to put the tools in")
		}
		if messages[at].Role != User {
			return fmt.Errorf("message %d is of role %s, but the tools must be in a user message: %w", at,
				messages[at].Role, ErrUnsupported)
		}
		text := llamaToolsBefore
		for i, tool := range o.Tools {
			written, err := python(tool, 4)
			if err != nil {
				return fmt.Errorf("tool %d: %w", i, err)
			}
			text += written + "\n\n"
		}
		llamaTurn(w, User, text+strip(messages[at].Content))
		at++
	}
	for i, m := range messages[at:] {
		switch {
		case m.Role == Tool:
			llamaTurn(w, "ipython", quote(m.Content))
		case len(m.ToolCalls) > 1 || len(m.ToolCalls) == 1 && m.Content != "":
			return fmt.Errorf("message %d has more than one tool call, or both text and a tool call: %w", at+i, ErrUnsupported)
		case len(m.ToolCalls) == 1:
			arguments, err := m.ToolCalls[0].python()
			if err != nil {
				return fmt.Errorf("message %d: %w", at+i, err)
			}
			llamaTurn(w, Assistant, `{"name": "`+m.ToolCalls[0].Name+`", "parameters": `+arguments+"}")
		default:
			llamaTurn(w, m.Role, strip(m.Content))
		}
	}
	if o.Generate {
		header(w, Assistant)
	}
	return nil
}
