package asm

// WeightedSum computes o[:] += Σ_j p[j]·v_j[:] for j < n, where o has d
// elements and v_j starts at v[j*stride]. Each element is one chain o = p·v + o
// in ascending j, so splitting the sum by j does not change its bits, which are
// those of [GemmPacked] with M = 1, K = n, N = d and accumulate set.
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
