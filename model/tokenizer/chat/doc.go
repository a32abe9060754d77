// Package chat writes conversations as the prompts that models were trained on, and reads what
// they answer: reasoning, answer and calls of tools.
//
//	template, err := chat.Load("DeepSeek-R1")   // of a model's folder or GGUF file
//	prompt, err := template.Render(messages, chat.Options{Generate: true})
//	ids, err := tokens.Append(nil, prompt)   // BOS is in the prompt
//	…
//	answer, err := template.Parse(tokens.Decode(generated), chat.Options{})
//
// Templates are Go functions, equal byte for byte to the Jinja texts that transformers runs. A text that
// has none is refused by [Find]: there is no Jinja interpreter.
package chat
