package asm

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// A loop that skipped part of its memory would report a bandwidth that is too
// high.
func TestReadLoopReadsEveryWord(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, n := range []int{0, 256, 512, 4096 + 256} {
			x := make([]byte, n)
			var want uint64
			for i := 0; i < n; i += 8 {
				v := r.Uint64()
				binary.LittleEndian.PutUint64(x[i:], v)
				want ^= v
			}
			if got := ReadLoop(x); got != want {
				t.Errorf("%d bytes: %#x, want %#x", n, got, want)
			}
		}
	})
}
