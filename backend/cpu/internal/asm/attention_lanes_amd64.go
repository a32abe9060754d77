//go:build !noasm

package asm

// Kernels over lanes. The AVX2 kernels compute eight of the 16 lanes; rows are 16
// elements apart all the same.

// scoreLanesAVX512 computes scoreKeys keys; d must be positive.
//
//go:noescape
func scoreLanesAVX512(d int, keys *float32, stride int, queries, s *float32)

const scoreKeys = 14

func scoreLanes(s, keys []float32, stride, n, d int, queries []float32) {
	i := 0
	if useAVX512 && d > 0 {
		for ; i+scoreKeys <= n; i += scoreKeys {
			scoreLanesAVX512(d, &keys[i*stride], stride, &queries[0], &s[i*Lanes])
		}
	}
	if i < n {
		GemmPacked(n-i, Lanes, d, keys[i*stride:], stride, 1, queries, s[i*Lanes:], Lanes, false)
	}
}

// softmaxLanesAVX2 and softmaxLanesAVX512 require rows to be a multiple of 8,
// or 0.
//
//go:noescape
func softmaxLanesAVX2(p *float32, rows int, visible *int32, scale float32, m, sum *float32)

//go:noescape
func softmaxLanesAVX512(p *float32, rows int, visible *int32, scale float32, m, sum *float32)

func softmaxLanes(p []float32, rows int, visible *[Lanes]int32, scale float32, m, sum *[Lanes]float32) {
	var first *float32
	if rows > 0 {
		first = &p[0]
	}
	switch {
	case useAVX512:
		softmaxLanesAVX512(first, rows, &visible[0], scale, &m[0], &sum[0])
	case useAVX2 && rows > 0:
		softmaxLanesAVX2(&p[0], rows, &visible[0], scale, &m[0], &sum[0])
		softmaxLanesAVX2(&p[8], rows, &visible[8], scale, &m[8], &sum[8])
	default:
		softmaxLanesGeneric(p, rows, visible, scale, m, sum)
	}
}

// weightedSumLanesAVX2 and weightedSumLanesAVX512 require positive d and n.
// first is the index of the first key, to be compared with visible.
//
//go:noescape
func weightedSumLanesAVX2(o, v *float32, stride, d int, p *float32, first, n int, visible *int32)

//go:noescape
func weightedSumLanesAVX512(o, v *float32, stride, d int, p *float32, first, n int, visible *int32)

func weightedSumLanes(o, v []float32, stride, d int, p []float32, first, n int, visible *[Lanes]int32) {
	switch {
	case useAVX512:
		weightedSumLanesAVX512(&o[0], &v[0], stride, d, &p[0], first, n, &visible[0])
	case useAVX2:
		weightedSumLanesAVX2(&o[0], &v[0], stride, d, &p[0], first, n, &visible[0])
		weightedSumLanesAVX2(&o[8], &v[0], stride, d, &p[8], first, n, &visible[8])
	default:
		weightedSumLanesGeneric(o, v, stride, d, p, first, n, visible)
	}
}

// mergeLanesAVX2 requires positive rows.
//
//go:noescape
func mergeLanesAVX2(o, x *float32, rows int, a, b *float32)

func mergeLanes(o, x []float32, a, b *[Lanes]float32) {
	if useAVX2 && len(o) > 0 {
		mergeLanesAVX2(&o[0], &x[0], len(o)/Lanes, &a[0], &b[0])
		return
	}
	mergeLanesGeneric(o, x, a, b)
}

// scaleLanesAVX2 requires positive rows.
//
//go:noescape
func scaleLanesAVX2(o *float32, rows int, s *float32)

func scaleLanes(o []float32, s *[Lanes]float32) {
	if useAVX2 && len(o) > 0 {
		scaleLanesAVX2(&o[0], len(o)/Lanes, &s[0])
		return
	}
	scaleLanesGeneric(o, s)
}
