//go:build !amd64 || noasm

package asm

func scoreLanes(s, keys []float32, stride, n, d int, queries []float32) {
	GemmPacked(n, Lanes, d, keys, stride, 1, queries, s, Lanes, false)
}

func softmaxLanes(p []float32, rows int, visible *[Lanes]int32, scale float32, m, sum *[Lanes]float32) {
	softmaxLanesGeneric(p, rows, visible, scale, m, sum)
}

func weightedSumLanes(o, v []float32, stride, d int, p []float32, first, n int, visible *[Lanes]int32) {
	weightedSumLanesGeneric(o, v, stride, d, p, first, n, visible)
}

func mergeLanes(o, x []float32, a, b *[Lanes]float32) { mergeLanesGeneric(o, x, a, b) }

func scaleLanes(o []float32, s *[Lanes]float32) { scaleLanesGeneric(o, s) }
