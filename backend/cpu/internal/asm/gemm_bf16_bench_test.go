package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkGemmBF16 covers the shapes of BenchmarkGemmPacked, and weights that
// are read from memory.
func BenchmarkGemmBF16(b *testing.B) {
	for _, s := range []struct{ m, n, k int }{
		{512, 512, 512}, {1024, 1024, 1024}, {2048, 512, 128}, {2048, 128, 512},
		{1, 512, 128}, {4, 512, 128}, {8, 512, 128}, {14, 512, 128}, {64, 512, 128},
		{1, 4096, 4096}, {2, 4096, 4096}, {4, 4096, 4096}, {8, 4096, 4096}, {32, 4096, 4096},
		{256, 1024, 4096}, {1, 8192, 8192}, {8, 8192, 8192},
	} {
		b.Run(fmt.Sprintf("%dx%dx%d", s.m, s.n, s.k), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			a, bp, c := randomBF16(rng, s.m*s.k), randomBF16(rng, PackedSizeBF16(s.k, s.n)), make([]float32, s.m*s.n)
			for b.Loop() {
				GemmBF16(s.m, s.n, s.k, a, s.k, bp, c, s.n, false)
			}
			flops := 2 * float64(s.m) * float64(s.n) * float64(s.k)
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			b.ReportMetric(2*float64(s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

func BenchmarkDotLoopBF16(b *testing.B) {
	flops := 0
	for b.Loop() {
		flops += DotLoopBF16(10000)
	}
	b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkPackBF16(b *testing.B) {
	const k, n = 512, 128
	rng := rand.New(rand.NewPCG(1, 2))
	x, h, dst := random(rng, k*n), randomBF16(rng, k*n), make([]uint16, RowsSizeBF16(n, k))
	for _, s := range []struct {
		name string
		run  func()
		size int
	}{
		{"PackBF16/rows", func() { PackBF16(dst, x, k, n, n, 1) }, 4},
		{"PackBF16/columns", func() { PackBF16(dst, x, k, n, 1, k) }, 4},
		{"PackBF16Bits/rows", func() { PackBF16Bits(dst, h, k, n, n, 1) }, 2},
		{"PackBF16Bits/columns", func() { PackBF16Bits(dst, h, k, n, 1, k) }, 2},
		{"RowsBF16/rows", func() { RowsBF16(dst, x, n, k, k, 1) }, 4},
		{"RowsBF16/columns", func() { RowsBF16(dst, x, n, k, 1, n) }, 4},
		{"RowsBF16Bits/columns", func() { RowsBF16Bits(dst, h, n, k, 1, n) }, 2},
	} {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(s.size * k * n))
			for b.Loop() {
				s.run()
			}
		})
	}
}

// BenchmarkConvert counts the bytes on the float32 side.
func BenchmarkConvert(b *testing.B) {
	const n = 4096
	rng := rand.New(rand.NewPCG(1, 2))
	x, h, e := random(rng, n), make([]uint16, n), make([]uint8, n)
	for _, s := range []struct {
		name string
		run  func()
	}{
		{"ToBF16", func() { ToBF16(h, x) }},
		{"FromBF16", func() { FromBF16(x, h) }},
		{"ToE4M3", func() { ToE4M3(e, x) }},
		{"FromE4M3", func() { FromE4M3(x, e) }},
	} {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				s.run()
			}
		})
	}
}
