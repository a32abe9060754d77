package chat_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/model/tokenizer/chat"
)

// Render a question as the prompt of a Qwen3 model, and parse an answer.
func ExampleTemplate() {
	messages := []chat.Message{
		{Role: chat.System, Content: "Answer with a number."},
		{Role: chat.User, Content: "What is 6·7?"},
	}
	o := chat.Options{Generate: true}
	prompt, err := chat.Qwen3.Render(messages, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(prompt)
	answer, err := chat.Qwen3.Parse("<think>\nSix times seven.\n</think>\n\n42"+chat.Qwen3.End(), o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q after %q\n", answer.Content, answer.Reasoning)
	// Output:
	// <|im_start|>system
	// Answer with a number.<|im_end|>
	// <|im_start|>user
	// What is 6·7?<|im_end|>
	// <|im_start|>assistant
	// "42" after "Six times seven."
}
