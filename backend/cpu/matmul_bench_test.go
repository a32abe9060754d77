package cpu

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// peak is a job of multiply-adds that access no memory.
type peak struct{}

func (peak) run(_ *worker, lo, hi int) {
	for range hi - lo {
		asm.FMALoop(1 << 14)
	}
}

// BenchmarkPeak measures the rate that no product can exceed.
func BenchmarkPeak(b *testing.B) {
	p := withWorkers(b, runtime.GOMAXPROCS(0))
	const units = 64
	for b.Loop() {
		p.pool.run(units, 1, peak{})
	}
	reportRate(b, units*float64(asm.FMALoop(1<<14)))
}

func reportRate(b *testing.B, flops float64) {
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// benchView returns a view of small whole numbers.
func benchView(c *CPU, shape ...int) backend.View {
	n := 1
	for _, s := range shape {
		n *= s
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%17 - 8)
	}
	return filled(c, x, shape...)
}

func benchOp(b *testing.B, c *CPU, name string, op backend.Op, flops float64) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			if err := c.Do(op); err != nil {
				b.Fatal(err)
			}
		}
		reportRate(b, flops)
	})
}

// BenchmarkMatMul covers large products, and the layers of small models in
// training (forward, input gradient, weight gradient) and decoding.
func BenchmarkMatMul(b *testing.B) {
	c := withWorkers(b, runtime.GOMAXPROCS(0))
	for _, s := range [][3]int{
		{1024, 1024, 1024}, {2048, 2048, 2048},
		{2048, 768, 256}, {2048, 256, 1024}, {768, 256, 2048}, {2048, 1536, 512}, {512, 512, 2048},
		{2048, 384, 128}, {384, 128, 2048}, {2048, 64, 2048},
		{1, 384, 128}, {4, 384, 128}, {16, 384, 128}, {64, 384, 128}, {1, 1536, 1536}, {16, 1536, 1536},
	} {
		m, n, k := s[0], s[1], s[2]
		name, flops := fmt.Sprintf("%dx%dx%d/", m, n, k), 2*float64(m*n*k)
		out, w := benchView(c, m, n), benchView(c, k, n)
		ops := map[string]*backend.MatMul{
			"AB":     {C: out, A: benchView(c, m, k), B: backend.MatrixOf(w)},
			"ABt":    {C: out, A: benchView(c, m, k), B: backend.MatrixOf(benchView(c, n, k).T())},
			"AtB":    {C: out, A: benchView(c, k, m).T(), B: backend.MatrixOf(w)},
			"packed": {C: out, A: benchView(c, m, k), B: packed(b, c, w)},
		}
		for _, kind := range []string{"AB", "ABt", "AtB", "packed"} {
			benchOp(b, c, name+kind, ops[kind], flops)
		}
	}
}

// BenchmarkGrouped covers the experts of a large layer (fewer of them, to fit
// into memory), and those of a small model in training and decoding.
func BenchmarkGrouped(b *testing.B) {
	c := withWorkers(b, runtime.GOMAXPROCS(0))
	for _, s := range []struct{ experts, each, k, n int }{{16, 192, 2048, 1408}, {16, 512, 128, 64}, {16, 16, 128, 64},
		{16, 4, 128, 64}} {
		m := s.experts * s.each
		bounds := make([]int32, s.experts+1)
		for e := range bounds {
			bounds[e] = int32(e * s.each)
			if e%2 == 1 && s.each > 4 {
				bounds[e] += int32(s.each / 4) // groups of unequal sizes
			}
		}
		bounds[s.experts] = int32(m)
		offsets := filled(c, bounds, len(bounds))
		x, y := benchView(c, m, s.k), benchView(c, m, s.n)
		w, dw := benchView(c, s.experts, s.n, s.k), benchView(c, s.experts, s.n, s.k)
		name, flops := fmt.Sprintf("%dx%dx%dx%d/", s.experts, s.each, s.n, s.k), 2*float64(m*s.n*s.k)
		benchOp(b, c, name+"forward", &backend.GroupedMatMul{C: y, A: x, B: backend.MatrixOf(w.T()), Offsets: offsets}, flops)
		benchOp(b, c, name+"packed", &backend.GroupedMatMul{C: y, A: x, B: packed(b, c, w.T()), Offsets: offsets}, flops)
		benchOp(b, c, name+"input", &backend.GroupedMatMul{C: x, A: y, B: backend.MatrixOf(w), Offsets: offsets}, flops)
		benchOp(b, c, name+"weight", &backend.GroupedOuter{C: dw, A: y, B: x, Offsets: offsets}, flops)
	}
}
