//go:build !noasm

package asm

func readLoop(x []byte) uint64 {
	if !useAVX2 {
		return readLoopGeneric(x)
	}
	return readLoopAVX2(&x[0], len(x))
}

//go:noescape
func readLoopAVX2(x *byte, n int) uint64
