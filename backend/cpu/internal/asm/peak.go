package asm

// FMALoop runs n rounds of independent float32 multiply-adds that access no
// memory, and returns the number of floating-point operations: two for each
// multiply-add, 0 if n ≤ 0. Timing it measures the peak that a matrix product
// can reach on this path.
func FMALoop(n int) int {
	if n <= 0 {
		return 0
	}
	return n * fmaLoop(n)
}

// fmaLoopGeneric computes eight chains, as many as hide the latency of both
// operations in the scalar registers that every architecture has.
func fmaLoopGeneric(n int) int {
	var c0, c1, c2, c3, c4, c5, c6, c7 float32
	x := float32(1) / 2
	for range n {
		c0 = float32(c0*x) + x
		c1 = float32(c1*x) + x
		c2 = float32(c2*x) + x
		c3 = float32(c3*x) + x
		c4 = float32(c4*x) + x
		c5 = float32(c5*x) + x
		c6 = float32(c6*x) + x
		c7 = float32(c7*x) + x
	}
	fmaSink = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7
	return 2 * 8
}

// fmaSink keeps the compiler from removing the loop.
//
//lint:ignore U1000 It is only written.
var fmaSink float32
