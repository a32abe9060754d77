// Package tokenizer turns text into token ids and back: byte-level BPE as Hugging Face's
// tokenizer.json describes it, and vocabularies of bytes or characters for experiments.
//
//	t, err := tokenizer.Load("DeepSeek-R1")   // a folder with tokenizer.json, the file, or a GGUF file
//	ids, err := t.Encode("Hello")             // BOS included where the file asks for it
//	text := t.Decode(ids)
//
// [Tokenizer.NewEncoder] encodes a text of any length as it is read, and [Tokenizer.NewDecoder] decodes ids as
// they come.
//
// The ids are those of the Rust library tokenizers. The pre-tokenizers of DeepSeek-V3, DeepSeek-V2,
// Qwen2, Llama-3 and SmolLM2 (see [Pattern]) are scanners written by hand; a file with another one, or
// with another normalizer, post-processor or decoder, is refused with [ErrUnsupported] rather than
// tokenized wrongly.
//
// Text need not be UTF-8. A byte that is part of no character is split from its neighbours as U+FFFD
// would be, and encoded as itself, so Decode gives every text back; a vocabulary with Unicode
// normalization (Qwen's) gives its normal form.
package tokenizer
