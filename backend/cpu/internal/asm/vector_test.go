package asm

import (
	"fmt"
	"math"
	"testing"
)

var rowSizes = []int{0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 100, 257}

// term is a wanted value and the magnitude of the terms that were added to get
// it, which bounds the error from cancellation.
type term struct{ want, size float64 }

// elementwise lists the kernels whose outputs depend on one position of each
// row. rows are their arguments; the first outs of these are written.
var elementwise = []struct {
	name       string
	rows, outs int
	run        func(r [][]float32)
	def        func(v []float64) []term
	ulps       float64
}{
	{"Scale", 2, 1, func(r [][]float32) { Scale(r[0], r[1], 1.7) },
		func(v []float64) []term { return one(float64(float32(1.7)) * v[1]) }, 1},
	{"Add", 3, 1, func(r [][]float32) { Add(r[0], r[1], r[2]) },
		func(v []float64) []term { return one(v[1] + v[2]) }, 1},
	{"Mul", 3, 1, func(r [][]float32) { Mul(r[0], r[1], r[2]) },
		func(v []float64) []term { return one(v[1] * v[2]) }, 1},
	{"AddScaled", 2, 1, func(r [][]float32) { AddScaled(r[0], r[1], -0.3) },
		func(v []float64) []term {
			x := float64(float32(-0.3)) * v[1]
			return []term{{v[0] + x, math.Abs(v[0]) + math.Abs(x)}}
		}, 2},
	{"Exp", 2, 1, func(r [][]float32) { Exp(r[0], r[1]) },
		func(v []float64) []term { return one(math.Exp(v[1])) }, 4},
	{"Sigmoid", 2, 1, func(r [][]float32) { Sigmoid(r[0], r[1]) },
		func(v []float64) []term { return one(1 / (1 + math.Exp(-v[1]))) }, 6},
	{"SoftmaxGrad", 3, 1, func(r [][]float32) { SoftmaxGrad(r[0], r[1], r[2], 0.25, 0.5) },
		func(v []float64) []term {
			return []term{{v[1] * (v[2] - 0.25) * 0.5, math.Abs(v[1]) * (math.Abs(v[2]) + 0.25) * 0.5}}
		}, 4},
	{"SwiGLU", 3, 1, func(r [][]float32) { SwiGLU(r[0], r[1], r[2]) },
		func(v []float64) []term { return one(swiglu64(v[1], v[2])) }, 8},
	{"SwiGLUGrad", 5, 2, func(r [][]float32) { SwiGLUGrad(r[0], r[1], r[2], r[3], r[4]) },
		func(v []float64) []term {
			dY, g, u := v[2], v[3], v[4]
			const h = 1e-5
			dGate := (swiglu64(g+h, u) - swiglu64(g-h, u)) / (2 * h)
			dUp := (swiglu64(g, u+h) - swiglu64(g, u-h)) / (2 * h)
			size := math.Abs(dY)*(1+math.Abs(g))*math.Abs(u) + 1e-3
			return []term{{dY * dGate, size}, {dY * dUp, math.Abs(dY*g) + 1e-3}}
		}, 10},
	{"RMSNormGradWeight", 3, 1, func(r [][]float32) { RMSNormGradWeight(r[0], r[1], r[2], 0.8) },
		func(v []float64) []term {
			x := v[1] * v[2] * float64(float32(0.8))
			return []term{{v[0] + x, math.Abs(v[0]) + math.Abs(x)}}
		}, 3},
}

func one(x float64) []term { return []term{{x, math.Abs(x)}} }

func swiglu64(g, u float64) float64 { return g / (1 + math.Exp(-g)) * u }

func TestElementwiseMatchesFloat64Definition(t *testing.T) {
	for _, c := range elementwise {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T) {
				rng := newRand(t)
				for _, n := range rowSizes {
					rows, before := make([][]float32, c.rows), make([][]float32, c.rows)
					for r := range rows {
						guarded := poisoned(endOfPage(t, n+1))
						rows[r] = fill(rng, guarded[1:])
						before[r] = append([]float32(nil), rows[r]...)
						defer func() {
							if !isPoison(guarded[0]) {
								t.Errorf("n=%d: wrote before row %d", n, r)
							}
						}()
					}
					c.run(rows)
					v := make([]float64, c.rows)
					for i := range n {
						for r := range v {
							v[r] = float64(before[r][i])
						}
						for r, want := range c.def(v) {
							near(t, fmt.Sprintf("n=%d: row %d, element %d of %v", n, r, i, v), rows[r][i], want.want, c.ulps*eps32*want.size)
						}
					}
					for r := c.outs; r < c.rows; r++ {
						sameBits(t, fmt.Sprintf("n=%d: input row %d", n, r), rows[r], before[r])
					}
				}
			})
		})
	}
}

func TestElementwiseHasTheSameBitsAtEveryPosition(t *testing.T) {
	for _, c := range elementwise {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T) {
				rng := newRand(t)
				const n = 77
				whole, single := make([][]float32, c.rows), make([][]float32, c.rows)
				for r := range whole {
					whole[r] = random(rng, n)
					single[r] = append([]float32(nil), whole[r]...)
				}
				c.run(whole)
				for i := range n {
					at := make([][]float32, c.rows)
					for r := range at {
						at[r] = single[r][i:][:1]
					}
					c.run(at)
				}
				for r := range c.outs {
					sameBits(t, fmt.Sprintf("row %d, one element at a time", r), single[r], whole[r])
				}
			})
		})
	}
}

func TestElementwiseHasTheSameBitsByAVX2AndAVX512(t *testing.T) {
	chosen := path
	defer usePath(chosen)
	for _, c := range elementwise {
		t.Run(c.name, func(t *testing.T) {
			rng := newRand(t)
			const n = 1 << 12
			var want [][]float32
			in := make([][]float32, c.rows)
			for r := range in {
				in[r] = append(random(rng, n), specials...)
				for i, x := range in[r][:n/2] {
					in[r][i] = x * 40
				}
			}
			for _, p := range available() {
				if p == pathNEON || p == pathPortable {
					continue
				}
				usePath(p)
				rows := make([][]float32, c.rows)
				for r := range rows {
					rows[r] = append([]float32(nil), in[r]...)
				}
				c.run(rows)
				if want == nil {
					want = rows
				}
				for r := range c.outs {
					sameBits(t, fmt.Sprintf("%s: row %d", p, r), rows[r], want[r])
				}
			}
		})
	}
}

func TestElementwiseWorksInPlace(t *testing.T) {
	for _, c := range elementwise {
		if c.outs > 1 || c.rows < 2 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T) {
				rng := newRand(t)
				rows := make([][]float32, c.rows)
				for r := range rows {
					rows[r] = random(rng, 45)
				}
				copy(rows[0], rows[1])
				x := append([]float32(nil), rows[1]...)
				c.run(rows)
				c.run(append([][]float32{x, x}, rows[2:]...))
				sameBits(t, "in place", x, rows[0])
			})
		})
	}
}

// reductions lists the kernels that reduce rows to one number in 32 lanes.
var reductions = []struct {
	name string
	run  func(x, y, z []float32) float32
	def  func(x, y, z float64) float64
}{
	{"Sum", func(x, _, _ []float32) float32 { return Sum(x) }, func(x, _, _ float64) float64 { return x }},
	{"SumSquares", func(x, _, _ []float32) float32 { return SumSquares(x) }, func(x, _,
		_ float64) float64 {
		return x * x
	}},
	{"Dot", func(x, y, _ []float32) float32 { return Dot(x, y) }, func(x, y, _ float64) float64 { return x * y }},
	{"dot3", dot3, func(x, y, z float64) float64 { return x * y * z }},
}

func TestReductionsMatchFloat64Definition(t *testing.T) {
	for _, c := range reductions {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T) {
				rng := newRand(t)
				for _, n := range rowSizes {
					x, y, z := fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, n))
					got := c.run(x, y, z)
					var want, size float64
					for i := range n {
						v := c.def(float64(x[i]), float64(y[i]), float64(z[i]))
						want += v
						size += math.Abs(v)
					}
					near(t, fmt.Sprintf("n=%d", n), got, want, float64(n/32+8)*eps32*size)
					// The same row at another address, and with zeros after it.
					for shift := range 9 {
						pad := func(x []float32) []float32 {
							return append(append(make([]float32, shift), x...), make([]float32, shift)...)[shift:]
						}
						sameBits(t, fmt.Sprintf("n=%d shifted and padded by %d", n, shift),
							[]float32{c.run(pad(x), pad(y), pad(z))}, []float32{got})
					}
				}
			})
		})
	}
}

func TestMaxFindsTheLargestElementAndSkipsNaN(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		for _, n := range rowSizes {
			x := endOfPage(t, n)
			for i := range x {
				x[i] = -1 - rng.Float32()
			}
			for i := range x {
				old := x[i]
				x[i] = -0.5
				near(t, fmt.Sprintf("n=%d, largest at %d", n, i), Max(x), -0.5, 0)
				x[i] = old
			}
		}
		for _, c := range []struct {
			x    []float32
			want float32
		}{
			{nil, -inf}, {[]float32{-inf, -inf}, -inf}, {[]float32{nan}, -inf},
			{[]float32{nan, -3, nan, -2, nan}, -2}, {[]float32{1, inf, nan}, inf},
			{[]float32{-1, nan, nan, nan, nan, nan, nan, nan, nan, -7, nan}, -1},
		} {
			if got := Max(c.x); got != c.want {
				t.Errorf("Max(%v) = %g, want %g", c.x, got, c.want)
			}
		}
	})
}
