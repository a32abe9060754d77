package asm

import (
	"fmt"
	"math"
)

// The kernels below compute Lanes query vectors at once, each in its own SIMD
// lane. A row of p has one key's scores for all lanes, a row of o one channel
// of their outputs, and visible[i] is the number of keys that lane i sees. Each
// lane has the bits of the row kernels that the comments name, which do the
// work on paths without a lane kernel.

const (
	// Lanes is PanelWidth, so that a matrix of keys × Lanes is one packed
	// panel.
	Lanes = PanelWidth
	// LaneKeys is the maximum number of keys that SoftmaxLanes accepts.
	LaneKeys = 128
)

// ScoreLanes computes the scores of n keys of d elements, key j at
// keys[j*stride], for the packed queries [d, Lanes]. It computes [GemmPacked]
// with M = n, N = Lanes and K = d, and is faster if the keys are not in the
// cache.
func ScoreLanes(s, keys []float32, stride, n, d int, queries []float32) {
	if n <= 0 {
		return
	}
	need("ScoreLanes", "s", len(s), n*Lanes)
	need("ScoreLanes", "keys", len(keys), extent(n, d, stride, 1))
	need("ScoreLanes", "queries", len(queries), d*Lanes)
	scoreLanes(s, keys, stride, n, d, queries)
}

// SoftmaxLanes replaces the scores p, n keys × Lanes, by exp(scale·p − m),
// where m[i] is the largest visible score of lane i, and sets sum[i] to the sum
// of the lane's visible exponentials, like [Scale], [Max] and [ExpSub]. Keys
// that a lane does not see become 0, whatever their score. If a lane sees no
// keys, or only scores of −Inf, its m is −Inf and 0 is subtracted instead.
//
// p must have room for n rounded up to a multiple of 8 keys. Those beyond n
// become 0.
func SoftmaxLanes(p []float32, n int, visible *[Lanes]int32, scale float32, m, sum *[Lanes]float32) {
	rows := (max(n, 0) + 7) &^ 7
	need("SoftmaxLanes", "p", len(p), rows*Lanes)
	for _, v := range visible {
		if int(v) > n || n > LaneKeys {
			panic(fmt.Sprintf("asm: SoftmaxLanes: %d visible keys of %d, at most %d", v, n, LaneKeys))
		}
	}
	softmaxLanes(p, rows, visible, scale, m, sum)
}

func softmaxLanesGeneric(p []float32, rows int, visible *[Lanes]int32, scale float32, m, sum *[Lanes]float32) {
	var buf [LaneKeys]float32
	for i, v := range visible {
		x := buf[:max(v, 0)]
		getLane(x, p, i)
		Scale(x, x, scale)
		m[i] = Max(x)
		top := m[i]
		if math.IsInf(float64(top), -1) {
			top = 0
		}
		sum[i] = ExpSub(x, x, top)
		clear(buf[len(x):])
		setLane(p, buf[:rows], i)
	}
}

// getLane and setLane copy lane i of the first rows of a matrix.
func getLane(x, matrix []float32, i int) {
	for j := range x {
		x[j] = matrix[j*Lanes+i]
	}
}

func setLane(matrix, x []float32, i int) {
	for j, v := range x {
		matrix[j*Lanes+i] = v
	}
}

// WeightedSumLanes computes o[c] += Σ_j v[j, c]·p[j] in each lane over the keys
// from ≤ j < to that the lane sees, and skips the others, like [WeightedSum]. o
// is d channels × Lanes, p is keys × Lanes, and v[j, c] is v[j*stride+c].
func WeightedSumLanes(o, v []float32, stride, d int, p []float32, from, to int, visible *[Lanes]int32) {
	if to <= from || d <= 0 {
		return
	}
	need("WeightedSumLanes", "o", len(o), d*Lanes)
	need("WeightedSumLanes", "p", len(p), to*Lanes)
	need("WeightedSumLanes", "v", len(v), extent(to, d, stride, 1))
	weightedSumLanes(o, v[from*stride:], stride, d, p[from*Lanes:], from, to-from, visible)
}

func weightedSumLanesGeneric(o, v []float32, stride, d int, p []float32, first, n int, visible *[Lanes]int32) {
	var channels, weights [LaneKeys]float32
	for i, seen := range visible {
		seen := min(int(seen)-first, n)
		for j := 0; j < seen; j += LaneKeys {
			w := weights[:min(LaneKeys, seen-j)]
			getLane(w, p[j*Lanes:], i)
			for c := 0; c < d; c += LaneKeys {
				x := channels[:min(LaneKeys, d-c)]
				getLane(x, o[c*Lanes:], i)
				WeightedSum(x, w, v[j*stride+c:], stride, len(w), len(x))
				setLane(o[c*Lanes:], x, i)
			}
		}
	}
}

// MergeLanes computes o = o·a + x·b in each lane for the rows of o, like
// [Scale] and [AddScaled].
func MergeLanes(o, x []float32, a, b *[Lanes]float32) {
	need("MergeLanes", "x", len(x), len(o))
	mergeLanes(o, x[:len(o)], a, b)
}

func mergeLanesGeneric(o, x []float32, a, b *[Lanes]float32) {
	var sum, term [LaneKeys]float32
	for c := 0; c < len(o); c += LaneKeys * Lanes {
		rows := min(LaneKeys, (len(o)-c)/Lanes)
		for i := range Lanes {
			getLane(sum[:rows], o[c:], i)
			getLane(term[:rows], x[c:], i)
			Scale(sum[:rows], sum[:rows], a[i])
			AddScaled(sum[:rows], term[:rows], b[i])
			setLane(o[c:], sum[:rows], i)
		}
	}
}

// ScaleLanes computes o = o·s + 0 in each lane, like [AddScaled] to zeros: −0
// becomes 0.
func ScaleLanes(o []float32, s *[Lanes]float32) { scaleLanes(o, s) }

func scaleLanesGeneric(o []float32, s *[Lanes]float32) {
	var term, sum [LaneKeys]float32
	for c := 0; c < len(o); c += LaneKeys * Lanes {
		rows := min(LaneKeys, (len(o)-c)/Lanes)
		for i := range Lanes {
			getLane(term[:rows], o[c:], i)
			clear(sum[:rows])
			AddScaled(sum[:rows], term[:rows], s[i])
			setLane(o[c:], sum[:rows], i)
		}
	}
}
