// Package checkpoint reads and writes model files.
//
// Weights are stored in safetensors files, single or sharded with an index, with the tensor
// names of Hugging Face: [Open] reads both, [Write] writes one file, and [WriteFolder]
// writes a folder that appears as a whole or not at all. [Rows] are tensors that are
// converted while they are read or written. A [Store] holds the checkpoints of a run; each
// is a directory that is complete and verified by its manifest, or does not exist.
//
// The content of files is not trusted: sizes, offsets, names and numbers are checked before
// they are used, and no check allocates more than a small multiple of the actual size of
// the file.
package checkpoint
