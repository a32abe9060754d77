// Package gguf reads and writes GGUF, the container of llama.cpp: metadata, the
// tokenizer among it, and tensors, of which most are quantised in blocks of a row.
//
// [Open] reads the header of a file, versions 2 and 3, little-endian; tensors are read
// when asked for, as bytes or as F32. [Write] writes version 3.
//
// Nothing read from a file is trusted: counts, lengths, offsets and names are checked
// before they are used, and no check allocates more than a small multiple of the bytes
// the file really has.
package gguf
