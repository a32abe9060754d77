package asm

import "math"

// The sums below use 32 lanes: element i belongs to lane i%32, and each lane is
// one chain in ascending i. The lanes are added in eights as (0..7 + 8..15) +
// (16..23 + 24..31), and the eight results as ((0+1)+(2+3)) + ((4+5)+(6+7)).

// sumLanes adds eight lanes in the order of VHADDPS.
func sumLanes(l *[8]float32) float32 {
	return ((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]))
}

// sumLanes32 adds 32 lanes in the order documented above.
func sumLanes32(l *[32]float32) float32 {
	var s [8]float32
	for i := range s {
		s[i] = (l[i] + l[i+8]) + (l[i+16] + l[i+24])
	}
	return sumLanes(&s)
}

// Sum returns Σ x[i].
func Sum(x []float32) float32 { return sum(x) }

func sumGeneric(x []float32) float32 {
	var lane [32]float32
	for i, v := range x {
		lane[i%32] += v
	}
	return sumLanes32(&lane)
}

// SumSquares returns Σ x[i]².
func SumSquares(x []float32) float32 { return sumSquares(x) }

func sumSquaresGeneric(x []float32) float32 {
	var lane [32]float32
	for i, v := range x {
		lane[i%32] += float32(v * v)
	}
	return sumLanes32(&lane)
}

// Dot returns Σ x[i]·y[i] over the elements of x. y must be at least as long.
func Dot(x, y []float32) float32 {
	need("Dot", "y", len(y), len(x))
	return dot(x, y)
}

func dotGeneric(x, y []float32) float32 {
	var lane [32]float32
	for i, v := range x {
		lane[i%32] += float32(v * y[i])
	}
	return sumLanes32(&lane)
}

// dot3Generic returns Σ (x[i]·y[i])·z[i].
func dot3Generic(x, y, z []float32) float32 {
	var lane [32]float32
	for i, v := range x {
		lane[i%32] += float32(float32(v*y[i]) * z[i])
	}
	return sumLanes32(&lane)
}

// Max returns the largest element of x, or −Inf if x is empty. It ignores NaN:
// a softmax of the row still becomes NaN through the exponential of the NaN.
func Max(x []float32) float32 { return maxRow(x) }

func maxGeneric(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}
