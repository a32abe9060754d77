package asm

import "testing"

func TestFMALoopCountsItsOperations(t *testing.T) {
	lanes := map[string]int{pathAMX: 16 * 16, pathAVX512Dot: 16 * 16, pathAVX512: 16 * 16, pathAVX2: 12 * 8,
		pathNEON: 16 * 4, pathPortable: 8}
	eachPath(t, func(t *testing.T) {
		for _, n := range []int{-1, 0, 1, 3, 1000} {
			if got, want := FMALoop(n), 2*lanes[path]*max(n, 0); got != want {
				t.Errorf("%d rounds: %d operations, want %d", n, got, want)
			}
		}
	})
}
