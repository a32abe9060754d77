package cpu

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
)

// BenchmarkExactOrder measures the cost of the exact order, in which each element is one chain of multiply-adds over
// K for any number of rows. The same kernels are compared while free to split K: they compute the products of 2, 4 or
// 8 parts of K at once and add them at the end. exact/free is the time of the exact order over that of the fastest
// split, the median of interleaved runs; up to 1, exactness costs nothing. parts is the number of parts of that
// split.
func BenchmarkExactOrder(b *testing.B) {
	c := withWorkers(b, runtime.GOMAXPROCS(0))
	for _, f := range []backend.Format{backend.Native, backend.BFloat16, backend.Q8} {
		for _, s := range [][3]int{
			{1, 64, 2048}, {1, 256, 8192}, {16, 256, 8192}, // few rows and columns
			{1, 1536, 8960}, {4, 1536, 8960}, {16, 1536, 8960}, {128, 1536, 8960}, // down projection of a 1.5B model
			{256, 256, 16384}, {1024, 1024, 1024}, {2048, 2048, 2048},
		} {
			m, n, k := s[0], s[1], s[2]
			b.Run(fmt.Sprintf("%s/%dx%dx%d", f, m, n, k), func(b *testing.B) {
				orders := []splitProduct{splitK(b, c, f, m, n, k, 1)}
				for _, parts := range []int{2, 4, 8} {
					orders = append(orders, splitK(b, c, f, m, n, k, parts))
				}
				took := make([]time.Duration, len(orders))
				ratios := make([][]float64, len(orders)) // time of the exact order over that of each order
				for b.Loop() {
					for i, o := range orders {
						began := time.Now()
						o.run(b, c)
						took[i] = time.Since(began)
						ratios[i] = append(ratios[i], took[0].Seconds()/took[i].Seconds())
					}
				}
				best := 1
				for i, r := range ratios {
					slices.Sort(r)
					if i > 0 && r[len(r)/2] > ratios[best][len(r)/2] {
						best = i
					}
				}
				b.ReportMetric(ratios[best][len(ratios[best])/2], "exact/free")
				b.ReportMetric(float64(orders[best].parts()), "parts")
			})
		}
	}
}

// splitProduct is a product whose reduction is split into parts.
type splitProduct struct {
	product *backend.MatMul // the products of all parts, as a batch
	sums    []*backend.Binary
}

// splitK returns a product of random operands, with B packed. k must be a
// multiple of parts.
func splitK(b *testing.B, c *CPU, f backend.Format, m, n, k, parts int) splitProduct {
	rng := rand.New(rand.NewPCG(1, 2))
	a := filled(c, normals[float32](rng, m*k), m, parts, k/parts).Permute(1, 0, 2)
	w := filled(c, normals[float32](rng, k*n), parts, k/parts, n)
	p := splitProduct{product: &backend.MatMul{C: benchView(c, parts, m, n), A: a}}
	if f == backend.Native {
		p.product.B = packed(b, c, w)
	} else {
		p.product.B = packedAs(b, c, f, w)
	}
	first := p.product.C.Index(0)
	for i := 1; i < parts; i++ {
		p.sums = append(p.sums, &backend.Binary{Y: first, A: first, B: p.product.C.Index(i), Fn: backend.Add})
	}
	return p
}

func (p splitProduct) parts() int { return 1 + len(p.sums) }

func (p splitProduct) run(b *testing.B, c *CPU) {
	do(b, c, p.product)
	for _, sum := range p.sums {
		do(b, c, sum)
	}
}
