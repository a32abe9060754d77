// Package gguf reads and writes GGUF, the file format of llama.cpp: metadata, which
// includes the tokenizer, and tensors, most of which are quantised in blocks within rows.
//
// [Open] reads the header of a file of version 2 or 3, little-endian; tensors are read on
// request, as bytes or as F32. [Write] writes version 3.
//
// The content of files is not trusted: counts, lengths, offsets and names are checked
// before they are used, and no check allocates more than a small multiple of the actual
// size of the file.
package gguf
