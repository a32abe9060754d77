package main

import "errors"

// message is one of a chat.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// encoder turns a chat into token ids and the weights of learning them: 1 for what the
// assistant says and the token that ends it, 0 for the rest.
type encoder func(chat []message) (ids []int32, weight []float32, err error)

// newEncoder reads the tokenizer and the chat template in the folder of a model.
func newEncoder(dir string) (encoder, error) {
	return nil, errors.New("chats need the model's tokenizer, which finetune does not read yet: give lines of ids")
}
