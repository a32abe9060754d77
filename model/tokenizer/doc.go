// Package tokenizer converts text to token ids and back: byte-level BPE as described by
// Hugging Face's tokenizer.json, and vocabularies of bytes or characters for experiments.
//
//	t, err := tokenizer.Load("DeepSeek-R1")   // a folder with tokenizer.json, the file, or a GGUF file
//	ids, err := t.Encode("Hello")             // includes BOS if the file says so
//	text := t.Decode(ids)
//
// [Tokenizer.NewEncoder] encodes a text of any length while it is read, and
// [Tokenizer.NewDecoder] decodes ids one at a time.
//
// The ids are those of the Rust library tokenizers. The pre-tokenizers of DeepSeek-V3,
// DeepSeek-V2, Qwen2, Llama-3 and SmolLM2 (see [Pattern]) are hand-written scanners. A file
// with another pre-tokenizer, or with an unsupported normalizer, post-processor or decoder,
// is an error that wraps [ErrUnsupported], so that no text is tokenized wrongly.
//
// Text need not be valid UTF-8. A byte that does not belong to a character is split from
// its neighbours like U+FFFD, but encoded as itself. Decode therefore returns the encoded
// text; with a vocabulary that normalizes (Qwen's), it returns the normal form.
package tokenizer
