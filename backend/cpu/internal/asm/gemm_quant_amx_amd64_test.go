//go:build !noasm

package asm

import (
	"fmt"
	"math"
	"testing"
)

// Tiles and VNNI add the same exact sums of blocks in the same order.
func TestGemmQuantByTilesHasTheBitsOfVNNIOnAMX(t *testing.T) {
	if !haveTiles() {
		t.Skip("this processor or system has no AMX tiles")
	}
	rng := newRand(t)
	check := func(m, n, k int, accumulate bool, spoil func(a, b, c []float32)) {
		t.Helper()
		a, b, start := random(rng, m*k), random(rng, k*n), random(rng, m*n)
		if spoil != nil {
			spoil(a, b, start)
		}
		blocks, ldc := quantBlocks(k), n+3
		rows := bytesAtEndOfPage(t, RowsBytesQ8(m, k))
		RowsQ8(rows, a, m, k, k, 1)
		for _, f := range quantFormats[:2] { // Q4_1 has no product by tiles
			bp := bytesAtEndOfPage(t, f.packedBytes(k, n))
			f.pack(bp, b, k, n, n, 1)
			blockBytes := blockBytesQ8
			if f.name == "Q4" {
				blockBytes = blockBytesQ4
			}
			got, want := poisoned(endOfPage(t, extent(m, n, ldc, 1))), make([]float32, extent(m, n, ldc, 1))
			for i := range m {
				copy(got[i*ldc:][:n], start[i*n:])
			}
			copy(want, got)
			gemmQuantDot(m, n, blocks, rows, blocks*rowBlockBytes, bp, f.panelBytes(k), blockBytes, want, ldc, accumulate)
			gemmQuantAMX(m, n, blocks, rows, bp, blockBytes, got, ldc, accumulate)
			sameBits(t, fmt.Sprintf("%s %dx%dx%d accumulate %t", f.name, m, n, k, accumulate), got, want)
		}
	}
	for _, m := range []int{31, 32, 33, 48, 63, 64, 95, 112, 200} {
		for _, n := range []int{31, 63, 64, 65, 80, 128, 300} {
			for _, k := range []int{96, 128, 129, 200, 512, 600} {
				check(m, n, k, (m+n+k)%2 == 0, nil)
			}
		}
	}
	check(rowsJoined+70, 70, QuantBlock*blocksJoined+128, false, nil)
	check(2*rowsJoined+33, 40, 2*QuantBlock*blocksJoined+300, true, nil)
	bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1))}
	for i, x := range bad {
		check(70, 75, 300, i%2 == 0, func(a, b, c []float32) {
			for range 10 {
				a[rng.IntN(len(a))], b[rng.IntN(len(b))] = x, x
			}
		})
	}
	// A sum of zero times a scale of either sign leaves −0 in C as it is or
	// makes it +0.
	for _, zeroA := range []bool{true, false} {
		check(64, 64, 256, true, func(a, b, c []float32) {
			if zeroA {
				clear(a)
			} else {
				clear(b)
			}
			for i := range c {
				c[i] = float32(math.Copysign(0, -1))
			}
		})
	}
	// Sums of the largest possible magnitude.
	for _, x := range []float32{1, -1} {
		check(64, 64, 256, false, func(a, b, c []float32) {
			for i := range a {
				a[i] = x
			}
			for i := range b {
				b[i] = 1
			}
		})
	}
}

func TestGemmQuantByTilesDoesNotAllocateOnAMX(t *testing.T) {
	if !haveTiles() {
		t.Skip("this processor or system has no AMX tiles")
	}
	const m, n, k = 64, 64, 32 * fewestBlocks
	rows, bp, c := make([]byte, RowsBytesQ8(m, k)), make([]byte, PackedBytesQ8(k, n)), make([]float32, m*n)
	if allocs := testing.AllocsPerRun(10, func() {
		gemmQuantAMX(m, n, quantBlocks(k), rows, bp, blockBytesQ8, c, n, false)
	}); allocs != 0 {
		t.Errorf("%g allocations", allocs)
	}
}
