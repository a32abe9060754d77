package chat

import (
	"fmt"
	"strings"
)

// Tokens of DeepSeek's templates.
const (
	beginOfSentence = "<｜begin▁of▁sentence｜>"
	endOfSentence   = "<｜end▁of▁sentence｜>"
	userToken       = "<｜User｜>"
	assistantToken  = "<｜Assistant｜>"
	callsBegin      = "<｜tool▁calls▁begin｜>"
	callsEnd        = "<｜tool▁calls▁end｜>"
	callBegin       = "<｜tool▁call▁begin｜>"
	callEnd         = "<｜tool▁call▁end｜>"
	callSep         = "<｜tool▁sep｜>"
	outputsBegin    = "<｜tool▁outputs▁begin｜>"
	outputsEnd      = "<｜tool▁outputs▁end｜>"
	outputBegin     = "<｜tool▁output▁begin｜>"
	outputEnd       = "<｜tool▁output▁end｜>"
	thinkOpen       = "<think>"
	thinkClose      = "</think>"
)

// systems returns the contents of all system messages.
func systems(messages []Message) (list []string) {
	for _, m := range messages {
		if m.Role == System {
			list = append(list, m.Content)
		}
	}
	return list
}

func renderDeepSeekV3(w *writer, messages []Message, o Options) error {
	w.WriteString(beginOfSentence + strings.Join(systems(messages), "\n\n"))
	return renderFenced(w, messages, o, assistantToken, false)
}

// renderDeepSeekR1 uses the last system message, and drops the reasoning of earlier
// answers.
func renderDeepSeekR1(w *writer, messages []Message, o Options) error {
	w.WriteString(beginOfSentence)
	if list := systems(messages); len(list) > 0 {
		w.WriteString(list[len(list)-1])
	}
	return renderFenced(w, messages, o, assistantToken+thinkOpen+"\n", true)
}

// renderFenced writes the messages of V3 and R1, in which tool calls are fenced JSON. As in
// the Jinja templates, only the first call of the conversation opens a list, and a list of
// one call is not closed.
func renderFenced(w *writer, messages []Message, o Options, generate string, dropThoughts bool) error {
	tool, called, output := false, false, false
	for i, m := range messages {
		switch m.Role {
		case User:
			tool = false
			w.WriteString(userToken + m.Content)
		case Assistant:
			switch {
			case len(m.ToolCalls) > 0 && m.Content != "":
				return fmt.Errorf("message %d has both text and tool calls: %w", i, ErrUnsupported)
			case len(m.ToolCalls) > 0:
				tool = false
				for _, call := range m.ToolCalls {
					text := callBegin + "function" + callSep + call.Name + "\n```json\n" + call.Arguments + "\n```" + callEnd
					if !called {
						w.WriteString(assistantToken)
						w.answer(callsBegin + text)
					} else {
						w.answer("\n" + text + callsEnd + endOfSentence)
					}
					called = true
				}
			case tool:
				tool = false
				w.WriteString(outputsEnd)
				w.answer(m.Content + endOfSentence)
			default:
				content := m.Content
				if at := strings.LastIndex(content, thinkClose); at >= 0 && dropThoughts {
					content = content[at+len(thinkClose):]
				}
				w.WriteString(assistantToken)
				w.answer(content + endOfSentence)
			}
		case Tool:
			tool = true
			if output {
				w.WriteString("\n")
			} else {
				w.WriteString(outputsBegin)
			}
			output = true
			w.WriteString(outputBegin + m.Content + outputEnd)
		}
	}
	if tool {
		w.WriteString(outputsEnd)
	} else if o.Generate {
		w.WriteString(generate)
	}
	return nil
}

func renderDeepSeekV31(w *writer, messages []Message, o Options) error {
	w.WriteString(beginOfSentence + strings.Join(systems(messages), "\n\n"))
	tool, afterUser := false, false
	for _, m := range messages {
		switch m.Role {
		case User:
			tool, afterUser = false, true
			w.WriteString(userToken + m.Content)
		case Assistant:
			if afterUser {
				w.WriteString(assistantToken + thinkClose)
			}
			afterUser = false
			if len(m.ToolCalls) > 0 {
				tool = false
				text := m.Content + callsBegin
				for _, call := range m.ToolCalls {
					text += callBegin + call.Name + callSep + call.Arguments + callEnd
				}
				w.answer(text + callsEnd + endOfSentence)
				continue
			}
			content := m.Content
			if _, after, found := strings.Cut(content, thinkClose); found && !tool {
				content = after
			}
			tool = false
			w.answer(content + endOfSentence)
		case Tool:
			tool, afterUser = true, false
			w.WriteString(outputBegin + m.Content + outputEnd)
		}
	}
	if o.Generate && afterUser && !tool {
		w.WriteString(assistantToken)
		if o.Thinking == On {
			w.WriteString(thinkOpen)
		} else {
			w.WriteString(thinkClose)
		}
	}
	return nil
}
