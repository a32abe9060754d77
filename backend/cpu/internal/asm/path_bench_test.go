package asm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// BenchmarkPathsByRows measures the cost of using the kernels of one path for
// every number of rows. It times the product on each path in turn, on one core.
// chosen/fastest is the time on the path in use over the time on the fastest
// path.
func BenchmarkPathsByRows(b *testing.B) {
	chosen := path
	defer usePath(chosen)
	const k, n = 1536, 1024
	rng := rand.New(rand.NewPCG(1, 2))
	for _, f := range []struct {
		name string
		make func(a, w, c []float32, m int) (multiply func())
	}{
		{"f32", func(a, w, c []float32, m int) func() {
			bp := make([]float32, PackedSize(k, n))
			PackB(bp, w, k, n, n, 1)
			return func() { GemmPacked(m, n, k, a, k, 1, bp, c, n, false) }
		}},
		{"bf16", func(a, w, c []float32, m int) func() {
			rows, bp := make([]uint16, RowsSizeBF16(m, k)), make([]uint16, PackedSizeBF16(k, n))
			RowsBF16(rows, a, m, k, k, 1)
			PackBF16(bp, w, k, n, n, 1)
			return func() { GemmBF16(m, n, k, rows, RowStrideBF16(k), bp, c, n, false) }
		}},
		{"q8", func(a, w, c []float32, m int) func() {
			rows, bp := make([]byte, RowsBytesQ8(m, k)), make([]byte, PackedBytesQ8(k, n))
			RowsQ8(rows, a, m, k, k, 1)
			PackQ8(bp, w, k, n, n, 1)
			return func() { GemmQ8(m, n, k, rows, bp, c, n, false) }
		}},
		{"q4", func(a, w, c []float32, m int) func() {
			rows, bp := make([]byte, RowsBytesQ8(m, k)), make([]byte, PackedBytesQ4(k, n))
			RowsQ8(rows, a, m, k, k, 1)
			PackQ4(bp, w, k, n, n, 1)
			return func() { GemmQ4(m, n, k, rows, bp, c, n, false) }
		}},
	} {
		for _, m := range []int{1, 2, 4, 8, 16, 32, 256} {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", f.name, m, n, k), func(b *testing.B) {
				paths := slices.DeleteFunc(available(), func(p string) bool { return p == pathPortable })
				a, w, c := random(rng, m*k), random(rng, k*n), make([]float32, m*n)
				multiply, times := make([]func(), len(paths)), make([][]time.Duration, len(paths))
				for i, p := range paths {
					usePath(p)
					multiply[i] = f.make(a, w, c, m)
				}
				for b.Loop() {
					for i, p := range paths {
						usePath(p)
						began := time.Now()
						multiply[i]()
						times[i] = append(times[i], time.Since(began))
					}
				}
				var own, fastest time.Duration
				for i, p := range paths {
					slices.Sort(times[i])
					t := times[i][len(times[i])/2]
					b.ReportMetric(float64(t.Nanoseconds()), p+"-ns")
					if p == chosen {
						own = t
					}
					if i == 0 || t < fastest {
						fastest = t
					}
				}
				b.ReportMetric(float64(own)/float64(fastest), "chosen/fastest")
			})
		}
	}
}
