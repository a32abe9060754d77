package asm

import (
	"fmt"
	"math"
)

// The kernels below take Lanes query vectors at once, each in a lane of its own:
// a row of p is one key's scores against them, a row of o one channel of their
// outputs, and visible[i] is how many keys lane i sees. Each lane has the bits of
// the row kernels that are named; where a path has no form of its own, these do
// the work.

const (
	// Lanes makes keys × Lanes one packed panel.
	Lanes = PanelWidth
	// LaneKeys is the most keys that SoftmaxLanes takes.
	LaneKeys = 128
)

// ScoreLanes computes the scores of n keys of d elements, key j at
// keys[j*stride], against the packed queries [d, Lanes]: it is [GemmPacked] with
// M = n, N = Lanes and K = d for keys that may not be in the cache yet.
func ScoreLanes(s, keys []float32, stride, n, d int, queries []float32) {
	if n <= 0 {
		return
	}
	need("ScoreLanes", "s", len(s), n*Lanes)
	need("ScoreLanes", "keys", len(keys), extent(n, d, stride, 1))
	need("ScoreLanes", "queries", len(queries), d*Lanes)
	scoreLanes(s, keys, stride, n, d, queries)
}

// SoftmaxLanes replaces the scores p, n keys × Lanes, by exp(scale·p − m) where
// m[i] is the largest visible score of lane i, and sets sum[i] to the sum of the
// lane's visible exponentials, as [Scale], [Max] and [ExpSub] do. Keys that a
// lane does not see become 0, whatever their score. A lane that sees nothing, or
// −Inf alone, gets m = −Inf and 0 is subtracted.
//
// p has room for n rounded up to a multiple of 8 keys; those beyond n become 0.
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
// from ≤ j < to that it sees, and leaves out the others, as [WeightedSum] does:
// o is d channels × Lanes, p keys × Lanes and v[j, c] is v[j*stride+c].
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

// MergeLanes computes o = o·a + x·b in each lane over the rows of o, as [Scale]
// and [AddScaled] do.
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

// ScaleLanes computes o = o·s + 0 in each lane, as [AddScaled] onto zeros does:
// −0 becomes 0.
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
