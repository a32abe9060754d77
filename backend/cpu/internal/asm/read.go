package asm

import "unsafe"

// ReadLoop reads all of x in ascending order, as a product of one row reads the
// weights, and returns the exclusive or of its words. Timing it measures how
// fast memory can be read. The length of x must be a multiple of 256 bytes.
func ReadLoop(x []byte) uint64 {
	if len(x)%256 != 0 {
		panic("asm: ReadLoop: len(x) is not a multiple of 256")
	}
	if len(x) == 0 {
		return 0
	}
	return readLoop(x)
}

// readLoopGeneric is ReadLoop for at least 256 bytes.
func readLoopGeneric(x []byte) uint64 {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/8)
	var a, b, c, d uint64
	for ; len(words) >= 4; words = words[4:] {
		a, b, c, d = a^words[0], b^words[1], c^words[2], d^words[3]
	}
	return a ^ b ^ c ^ d
}
