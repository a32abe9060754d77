//go:build !noasm

package asm

// fmaLoopNEON does sixteen multiply-adds of 4 lanes a round.
//
//go:noescape
func fmaLoopNEON(n int)

// fmaLoop runs n > 0 rounds and returns the operations of one.
func fmaLoop(n int) int {
	if !useNEON {
		return fmaLoopGeneric(n)
	}
	fmaLoopNEON(n)
	return 2 * 16 * 4
}
