//go:build !noasm

package asm

// fmaLoopAVX2 computes twelve multiply-adds of 8 lanes per round.
//
//go:noescape
func fmaLoopAVX2(n int)

// fmaLoopAVX512 computes sixteen multiply-adds of 16 lanes per round.
//
//go:noescape
func fmaLoopAVX512(n int)

// fmaLoop runs n > 0 rounds and returns the number of operations per round.
func fmaLoop(n int) int {
	switch {
	case useAVX512:
		fmaLoopAVX512(n)
		return 2 * 16 * 16
	case useAVX2:
		fmaLoopAVX2(n)
		return 2 * 12 * 8
	default:
		return fmaLoopGeneric(n)
	}
}
