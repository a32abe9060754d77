package asm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// int8Peak returns the rate of independent dot products, in operations per
// second.
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

// BenchmarkGemvQuant reads weights from memory with as many goroutines as there
// are processors, like decoding: few rows, and more weights than fit into the
// caches. It interleaves passes that only add up the same bytes as float32.
func BenchmarkGemvQuant(b *testing.B) {
	const k, n = 1536, 98304
	for _, f := range quantFormats {
		rng := rand.New(rand.NewPCG(1, 2))
		bp := make([]byte, f.packedBytes(k, n))
		for i := range len(bp) / 8 {
			binary.LittleEndian.PutUint64(bp[8*i:], rng.Uint64()&0x3f3f3f3f3f3f3f3f) // no scale is NaN
		}
		words := unsafe.Slice((*float32)(unsafe.Pointer(&bp[0])), len(bp)/4)
		for _, m := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", f.name, m, n, k), func(b *testing.B) {
				rows, c := make([]byte, RowsBytesQ8(m, k)), make([]float32, m*n)
				RowsQ8(rows, random(rng, m*k), m, k, k, 1)
				product, read := time.Duration(1<<62), time.Duration(1<<62)
				for b.Loop() {
					product = min(product, parallel(n/PanelWidth, func(lo, hi int) {
						f.gemm(m, (hi-lo)*PanelWidth, k, rows, bp[lo*f.panelBytes(k):], c[lo*PanelWidth:], n, false)
					}))
					read = min(read, parallel(len(words), func(lo, hi int) { Sum(words[lo:hi]) }))
				}
				rate := float64(len(bp)) / product.Seconds() / 1e9
				b.ReportMetric(rate, "GB/s")
				b.ReportMetric(100*rate*1e9*read.Seconds()/float64(len(bp)), "%read")
			})
		}
	}
}

// parallel runs f on one part of n items for each processor and returns how
// long it took.
func parallel(n int, f func(lo, hi int)) time.Duration {
	start := time.Now()
	var group sync.WaitGroup
	parts := runtime.GOMAXPROCS(0)
	for i := range parts {
		group.Go(func() { f(i*n/parts, (i+1)*n/parts) })
	}
	group.Wait()
	return time.Since(start)
}

func BenchmarkPackQuant(b *testing.B) {
	const k, n = 1536, 128
	w := random(rand.New(rand.NewPCG(1, 2)), k*n)
	for _, f := range quantFormats {
		b.Run(f.name, func(b *testing.B) {
			bp := make([]byte, f.packedBytes(k, n))
			for b.Loop() {
				f.pack(bp, w, k, n, 1, k)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(k*n), "ns/weight")
		})
	}
}

func BenchmarkRowsQ8(b *testing.B) {
	const m, k = 16, 1536
	a := random(rand.New(rand.NewPCG(1, 2)), m*k)
	rows := make([]byte, RowsBytesQ8(m, k))
	b.SetBytes(4 * m * k)
	for b.Loop() {
		RowsQ8(rows, a, m, k, k, 1)
	}
}
