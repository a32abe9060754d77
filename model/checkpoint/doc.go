// Package checkpoint reads and writes model files.
//
// Weights travel in safetensors files, alone or sharded behind an index, with
// the tensor names of Hugging Face: [Open] reads either, [Write] writes one
// file and [WriteFolder] a folder that is there as a whole or not at all. [Rows] are
// converted on the way. A [Store] keeps the checkpoints of a run, each a directory that is
// either complete and verified by its manifest or not there at all.
//
// Nothing read from a file is trusted: sizes, offsets, names and numbers are
// checked before they are used, and no check allocates more than a small
// multiple of the bytes the file really has.
package checkpoint
