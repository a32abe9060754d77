package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// peak returns the floating-point operations per second of one core: the best
// of a few milliseconds, so that other load on the machine has little
// influence.
func peak() float64 {
	var best float64
	for range 20 {
		start := time.Now()
		flops := FMALoop(10_000)
		best = max(best, float64(flops)/time.Since(start).Seconds())
	}
	return best
}

// BenchmarkGemmPacked covers large products, the layers of a small model, its
// weight gradients (A by columns), and decoding with few rows: with weights in
// the caches and, 64 MiB of them, in memory.
func BenchmarkGemmPacked(b *testing.B) {
	for _, s := range []struct {
		m, n, k   int
		byColumns bool
	}{
		{512, 512, 512, false}, {1024, 1024, 1024, false}, {1024, 32, 384, false},
		{2048, 128, 128, false}, {2048, 512, 128, false},
		{128, 128, 2048, true}, {512, 128, 2048, true}, {1024, 512, 2048, true},
		{1, 512, 128, false}, {2, 512, 128, false}, {4, 512, 128, false}, {8, 512, 128, false},
		{16, 512, 128, false}, {64, 512, 128, false},
		{1, 4096, 4096, false}, {8, 4096, 4096, false}, {32, 4096, 4096, false},
	} {
		name := fmt.Sprintf("%dx%dx%d", s.m, s.n, s.k)
		ars, acs := s.k, 1
		if s.byColumns {
			name, ars, acs = name+"/columns", 1, s.m
		}
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			a, bp, c := random(rng, s.m*s.k), random(rng, PackedSize(s.k, s.n)), make([]float32, s.m*s.n)
			for b.Loop() {
				GemmPacked(s.m, s.n, s.k, a, ars, acs, bp, c, s.n, false)
			}
			flops := 2 * float64(s.m) * float64(s.n) * float64(s.k)
			speed := flops * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(speed/1e9, "GFLOP/s")
			b.ReportMetric(100*speed/peak(), "%peak")
		})
	}
}

func BenchmarkPackB(b *testing.B) {
	const k, n = 512, 128
	rng := rand.New(rand.NewPCG(1, 2))
	src, dst := random(rng, k*n), make([]float32, PackedSize(k, n))
	for _, s := range []struct {
		name   string
		rs, cs int
	}{{"rows", n, 1}, {"columns", 1, k}} {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(4 * k * n)
			for b.Loop() {
				PackB(dst, src, k, n, s.rs, s.cs)
			}
		})
	}
}
