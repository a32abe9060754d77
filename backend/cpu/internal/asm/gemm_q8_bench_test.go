package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// quantFormats are the two formats of weights, for tests of both.
var quantFormats = []struct {
	name                     string
	packedBytes              func(k, n int) int
	panelBytes               func(k int) int
	pack                     func(dst []byte, b []float32, k, n, rs, cs int)
	unpack                   func(dst []float32, src []byte, k, n, rs, cs int)
	gemm                     func(m, n, k int, rows, bp []byte, c []float32, ldc int, accumulate bool)
	blockBytes, largest, min int
}{
	{"Q8", PackedBytesQ8, PanelBytesQ8, PackQ8, UnpackQ8, GemmQ8, blockBytesQ8, 127, -128},
	{"Q4", PackedBytesQ4, PanelBytesQ4, PackQ4, UnpackQ4, GemmQ4, blockBytesQ4, 7, -8},
}

// int8Peak returns the rate of independent dot products, in operations a second.
func int8Peak() float64 {
	best := 0.0
	for range 5 {
		start := time.Now()
		ops := DotLoopInt8(1 << 20)
		best = max(best, float64(ops)/time.Since(start).Seconds())
	}
	return best
}

// BenchmarkGemmQuant covers large products, the layers of a 1.5B model with a
// short prompt, and few rows.
func BenchmarkGemmQuant(b *testing.B) {
	peak := int8Peak()
	for _, f := range quantFormats {
		for _, s := range [][3]int{
			{512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048},
			{128, 1536, 1536}, {128, 1536, 8960}, {6, 512, 1536}, {8, 512, 1536}, {32, 512, 1536},
		} {
			m, n, k := s[0], s[1], s[2]
			b.Run(fmt.Sprintf("%s/%dx%dx%d", f.name, m, n, k), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				rows, bp := make([]byte, RowsBytesQ8(m, k)), make([]byte, f.packedBytes(k, n))
				RowsQ8(rows, random(rng, m*k), m, k, k, 1)
				f.pack(bp, random(rng, k*n), k, n, n, 1)
				c := make([]float32, m*n)
				best := time.Duration(1 << 62)
				for b.Loop() {
					start := time.Now()
					f.gemm(m, n, k, rows, bp, c, n, false)
					best = min(best, time.Since(start))
				}
				rate := 2 * float64(m) * float64(n) * float64(k) / best.Seconds()
				b.ReportMetric(rate/1e9, "Gop/s")
				if peak > 0 {
					b.ReportMetric(100*rate/peak, "%peak")
				}
			})
		}
	}
}
