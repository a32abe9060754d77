// Package chat renders conversations as the prompts that models were trained on, and parses
// what they generate: reasoning, answer and tool calls.
//
//	template, err := chat.Load("DeepSeek-R1")   // of a model's folder or GGUF file
//	prompt, err := template.Render(messages, chat.Options{Generate: true})
//	ids, err := tokens.Append(nil, prompt)   // BOS is in the prompt
//	…
//	answer, err := template.Parse(tokens.Decode(generated), chat.Options{})
//
// Templates are Go functions whose output equals byte for byte that of the Jinja templates
// in transformers. There is no Jinja interpreter: [Find] returns an error for any other
// Jinja template.
package chat
