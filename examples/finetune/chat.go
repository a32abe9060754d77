package main

import (
	"fmt"

	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// encoder turns a chat into token ids and the weights of learning them: 1 for what the
// assistant says and the token that ends it, 0 for the rest.
type encoder func(messages []chat.Message, o chat.Options) (ids []int32, weight []float32, err error)

// newEncoder reads the tokenizer and the chat template of the model at path.
func newEncoder(path string) (encoder, error) {
	tokens, err := tokenizer.Load(path)
	if err != nil {
		return nil, fmt.Errorf("chats need the model's tokenizer, ids do not: %w", err)
	}
	template, err := chat.Load(path)
	if err != nil {
		return nil, fmt.Errorf("chats need the model's chat template, ids do not: %w", err)
	}
	if _, ok := tokens.ID(template.End()); !ok {
		return nil, fmt.Errorf("%s: the tokenizer has no %s, which ends answers of the template %s", path, template.End(),
			template)
	}
	return func(messages []chat.Message, o chat.Options) (ids []int32, weight []float32, err error) {
		parts, err := template.RenderParts(messages, o)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range parts {
			// As when the model generates, an answer's ids do not merge with its prompt's.
			if ids, err = tokens.Append(ids, p.Text); err != nil {
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
	}, nil
}
