//go:build !noasm

package asm

// fmaLoopNEON computes sixteen multiply-adds of 4 lanes per round.
//
//go:noescape
func fmaLoopNEON(n int)

// fmaLoop runs n > 0 rounds and returns the number of operations per round.
func fmaLoop(n int) int {
	if !useNEON {
		return fmaLoopGeneric(n)
	}
	fmaLoopNEON(n)
	return 2 * 16 * 4
}
