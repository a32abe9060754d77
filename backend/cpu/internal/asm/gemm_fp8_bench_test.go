package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// product is a product in one format, to be timed.
type product struct {
	name  string
	bytes int                                  // size of the packed weights
	run   func(j, n int, c []float32, ldc int) // computes columns j to j+n
}

// productsFP8 returns an m×n×k product in FP8, and the same in BF16 and Q8.
func productsFP8(m, n, k int) []product {
	rng := rand.New(rand.NewPCG(1, 2))
	a, b := random(rng, m*k), random(rng, k*FP8Block)
	rows, panels := make([]byte, RowsBytesFP8(m, k)), make([]byte, packedBytesFP8(k, n))
	rowsQ8, panelsQ8 := make([]byte, RowsBytesQ8(m, k)), make([]byte, PackedBytesQ8(k, n))
	rowsBF16, panelsBF16 := make([]uint16, RowsSizeBF16(m, k)), make([]uint16, PackedSizeBF16(k, n))
	RowsFP8(rows, a, m, k, k, 1)
	RowsQ8(rowsQ8, a, m, k, k, 1)
	RowsBF16(rowsBF16, a, m, k, k, 1)
	for j := 0; j < n; j += FP8Block {
		nb := min(FP8Block, n-j)
		PackFP8(panels[j/PanelWidth*PanelBytesFP8(k):], b, k, nb, 1, k)
		PackQ8(panelsQ8[j/PanelWidth*PanelBytesQ8(k):], b, k, nb, 1, k)
		PackBF16(panelsBF16[j*even(k):], b, k, nb, 1, k)
	}
	return []product{
		{"FP8", len(panels), func(j, n int, c []float32, ldc int) {
			GemmFP8(m, n, k, rows, panels[j/PanelWidth*PanelBytesFP8(k):], c, ldc, false)
		}},
		{"BF16", 2 * len(panelsBF16), func(j, n int, c []float32, ldc int) {
			GemmBF16(m, n, k, rowsBF16, RowStrideBF16(k), panelsBF16[j*even(k):], c, ldc, false)
		}},
		{"Q8", len(panelsQ8), func(j, n int, c []float32, ldc int) {
			GemmQ8(m, n, k, rowsQ8, panelsQ8[j/PanelWidth*PanelBytesQ8(k):], c, ldc, false)
		}},
	}
}

// BenchmarkGemmFP8 covers products of many rows in units of 256 columns, of few
// rows with weights in the second-level cache, and sizes in between, on one
// goroutine.
func BenchmarkGemmFP8(b *testing.B) {
	for _, s := range [][3]int{
		{168, 256, 2048}, {168, 256, 7168}, {1024, 256, 2048}, {512, 512, 512}, {2048, 512, 128},
		{1, 256, 2048}, {2, 256, 2048}, {4, 256, 2048}, {8, 256, 2048}, {14, 256, 2048}, {32, 256, 2048},
	} {
		m, n, k := s[0], s[1], s[2]
		for _, f := range productsFP8(m, n, k) {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", f.name, m, n, k), func(b *testing.B) {
				c := make([]float32, m*n)
				for b.Loop() {
					f.run(0, n, c, n)
				}
				runs := float64(b.N) / b.Elapsed().Seconds() / 1e9
				b.ReportMetric(2*float64(m)*float64(n)*float64(k)*runs, "GFLOP/s")
				b.ReportMetric(float64(n)*float64(k)*runs, "Gweight/s")
			})
		}
	}
}

// BenchmarkGemvFP8 reads weights from memory with as many goroutines as there
// are processors, like decoding. It interleaves passes that only read as many
// bytes.
func BenchmarkGemvFP8(b *testing.B) {
	for _, s := range [][3]int{
		{1, 98304, 1536}, {2, 98304, 1536}, {4, 98304, 1536}, {8, 98304, 1536},
		{1, 24576, 7168}, {1, 8960, 1536},
	} {
		m, n, k := s[0], s[1], s[2]
		for _, f := range productsFP8(m, n, k) {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", f.name, m, n, k), func(b *testing.B) {
				c := make([]float32, m*n)
				x := make([]byte, f.bytes&^511)
				for i := range x {
					x[i] = byte(i)
				}
				product, read := time.Duration(1<<62), time.Duration(1<<62)
				for b.Loop() {
					product = min(product, parallel(n/PanelWidth, func(lo, hi int) {
						f.run(lo*PanelWidth, (hi-lo)*PanelWidth, c[lo*PanelWidth:], n)
					}))
					read = min(read, parallel(len(x)/256, func(lo, hi int) { ReadLoop(x[lo*256 : hi*256]) }))
				}
				b.ReportMetric(float64(f.bytes)/product.Seconds()/1e9, "GB/s")
				b.ReportMetric(100*float64(read)/float64(product), "%read")
			})
		}
	}
}

func BenchmarkPackFP8(b *testing.B) {
	const k, n = 512, 128
	rng := rand.New(rand.NewPCG(1, 2))
	x, codes, scales := random(rng, k*n), make([]byte, k*n), make([]float32, k/FP8Block)
	panels, rows, out := make([]byte, packedBytesFP8(k, n)), make([]byte, RowsBytesFP8(n, k)), make([]float32, k*n)
	PackFP8(panels, x, k, n, n, 1)
	for _, s := range []struct {
		name string
		run  func()
	}{
		{"PackFP8/rows", func() { PackFP8(panels, x, k, n, n, 1) }},
		{"PackFP8/columns", func() { PackFP8(panels, x, k, n, 1, k) }},
		{"PackFP8Bits/rows", func() { PackFP8Bits(panels, codes, scales, k, n, n, 1, 1, 1) }},
		{"PackFP8Bits/columns", func() { PackFP8Bits(panels, codes, scales, k, n, 1, k, 1, 1) }},
		{"RowsFP8/rows", func() { RowsFP8(rows, x, n, k, k, 1) }},
		{"RowsFP8/columns", func() { RowsFP8(rows, x, n, k, 1, n) }},
		{"UnpackFP8/columns", func() { UnpackFP8(out, panels, k, 0, n, 1, k) }},
	} {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				s.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(k*n), "ns/element")
		})
	}
}
