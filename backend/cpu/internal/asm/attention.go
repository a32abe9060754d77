package asm

// Legend: n keys (rows of k and v), d channels of a head.

// Dots computes out[j] = q·k_j for j < n, where q has d elements and k_j starts
// at k[j*stride].
//
// A dot product runs in eight lanes: channel i belongs to lane i%8, each lane is
// one chain of multiply-adds in ascending i, and the lanes are added as
// ((0+1)+(2+3)) + ((4+5)+(6+7)).
func Dots(out, q, k []float32, stride, n, d int) {
	if n <= 0 {
		return
	}
	need("Dots", "out", len(out), n)
	if d <= 0 {
		clear(out[:n])
		return
	}
	need("Dots", "q", len(q), d)
	need("Dots", "k", len(k), extent(n, d, stride, 1))
	dots(out, q, k, stride, n, d)
}

func dotsGeneric(out, q, k []float32, stride, n, d int) {
	q = q[:d]
	for j := range n {
		row := k[j*stride:][:d]
		var lane [8]float32
		for i, x := range q {
			lane[i%8] += float32(x * row[i])
		}
		out[j] = sumLanes(&lane)
	}
}

// sumLanes adds eight lanes in the order of VHADDPS.
func sumLanes(l *[8]float32) float32 {
	return ((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]))
}

// WeightedSum computes o[:] += Σ_j p[j]·v_j[:] for j < n, where o has d elements
// and v_j starts at v[j*stride]. Each element is one chain o = p·v + o in
// ascending j, so the sum may be split anywhere in j. It has the bits of
// [GemmPacked] with M = 1, K = n, N = d and accumulate set.
func WeightedSum(o, p, v []float32, stride, n, d int) {
	if n <= 0 || d <= 0 {
		return
	}
	need("WeightedSum", "o", len(o), d)
	need("WeightedSum", "p", len(p), n)
	need("WeightedSum", "v", len(v), extent(n, d, stride, 1))
	weightedSum(o, p, v, stride, n, d)
}

func weightedSumGeneric(o, p, v []float32, stride, n, d int) {
	o = o[:d]
	for j, x := range p[:n] {
		row := v[j*stride:][:d]
		for i := range o {
			o[i] += float32(x * row[i])
		}
	}
}

// RankOne computes dst_j[:] += p[j]·x[:] for j < n, where x has d elements and
// dst_j starts at dst[j*stride]. Each element takes one multiply-add, so calls
// for successive x have the bits of [GemmPacked] with those x as B and
// accumulate set.
func RankOne(dst []float32, stride int, p, x []float32, n, d int) {
	if n <= 0 || d <= 0 {
		return
	}
	needRows("RankOne", "dst", n, d, stride)
	need("RankOne", "dst", len(dst), extent(n, d, stride, 1))
	need("RankOne", "p", len(p), n)
	need("RankOne", "x", len(x), d)
	rankOne(dst, stride, p, x, n, d)
}

func rankOneGeneric(dst []float32, stride int, p, x []float32, n, d int) {
	x = x[:d]
	for j, w := range p[:n] {
		row := dst[j*stride:][:d]
		for i := range row {
			row[i] += float32(w * x[i])
		}
	}
}
