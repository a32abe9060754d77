package tune

import (
	"errors"
	"fmt"

	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// Encoder encodes chats to token ids.
type Encoder struct {
	tokens   *tokenizer.Tokenizer
	template chat.Template
}

// NewEncoder loads the tokenizer and the chat template of the model at path.
func NewEncoder(path string) (*Encoder, error) {
	tokens, err := tokenizer.Load(path)
	if err != nil {
		return nil, fmt.Errorf("chats need the model's tokenizer (token ids do not): %w", err)
	}
	template, err := chat.Load(path)
	if err != nil {
		return nil, fmt.Errorf("chats need the model's chat template (token ids do not): %w", err)
	}
	if _, ok := tokens.ID(template.End()); !ok {
		return nil, fmt.Errorf("%s: the tokenizer has no %s, which ends answers of the template %s", path, template.End(),
			template)
	}
	return &Encoder{tokens, template}, nil
}

// Chat returns the token ids of a chat and their weights in the loss: 1 for the assistant's
// messages and the tokens that end them, 0 for the rest.
func (e *Encoder) Chat(messages []chat.Message, o chat.Options) (ids []int32, weight []float32, err error) {
	parts, err := e.template.RenderParts(messages, o)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		// Parts are encoded separately, as they are generated: no token spans the end of a
		// prompt and the beginning of its answer.
		if ids, err = e.tokens.Append(ids, p.Text); err != nil {
			return nil, nil, err
		}
		w := float32(0)
		if p.Answer {
			w = 1
		}
		for len(weight) < len(ids) {
			weight = append(weight, w)
		}
	}
	return ids, weight, nil
}

// Completion returns the token ids of a prompt and of a completion. The first and the last
// message of the completion must be the assistant's. The prompt ends where the assistant
// begins to write, and the completion ends with the token that ends the last answer.
func (e *Encoder) Completion(prompt, completion []chat.Message, o chat.Options) (before, after []int32, err error) {
	if n := len(completion); n == 0 || completion[0].Role != chat.Assistant || completion[n-1].Role != chat.Assistant {
		return nil, nil, errors.New("a completion must begin and end with a message of the assistant")
	}
	parts, err := e.template.RenderParts(append(prompt[:len(prompt):len(prompt)], completion...), o)
	if err != nil {
		return nil, nil, err
	}
	answers := 0 // number of answers in the prompt that are still to come
	for _, m := range prompt {
		if m.Role == chat.Assistant {
			answers++
		}
	}
	first, end := -1, 0
	var ids []int32
	for _, p := range parts {
		if p.Answer {
			if answers == 0 && first < 0 {
				first = len(ids)
			}
			answers--
		}
		if ids, err = e.tokens.Append(ids, p.Text); err != nil {
			return nil, nil, err
		}
		if p.Answer {
			end = len(ids)
		}
	}
	if first < 0 {
		return nil, nil, fmt.Errorf("the chat template %s renders no answer of the completion", e.template)
	}
	return ids[:first:first], ids[first:end], nil
}
