package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

// corners returns inputs at which implementations of elementwise functions tend
// to be wrong.
func corners[T number]() []T {
	inf, nan := T(math.Inf(1)), T(math.NaN())
	return []T{0, T(math.Copysign(0, -1)), 1, -1, .5, -.5, 2.5, -80, 80, 1e-30, -1e30, inf, -inf, nan}
}

func TestUnaryInEveryLayout(t *testing.T) {
	t.Run("F32", testUnary[float32])
	t.Run("F64", testUnary[float64])
}

func testUnary[T number](t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const m, n = 37, 63
	x := append(corners[T](), normals[T](rng, m*n)...)[:m*n]
	want := map[backend.UnaryFn]func(float64) float64{
		backend.Affine:     func(x float64) float64 { return 3*x - .5 },
		backend.Clamp:      func(x float64) float64 { return math.Min(math.Max(x, 3), -.5) },
		backend.Exp:        math.Exp,
		backend.Log:        math.Log,
		backend.Sigmoid:    func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		backend.Sqrt:       math.Sqrt,
		backend.Reciprocal: func(x float64) float64 { return 1 / x },
		backend.Abs:        math.Abs,
		backend.Sign: func(x float64) float64 {
			if x == 0 || x != x {
				return x
			}
			return math.Copysign(1, x)
		},
		backend.Tanh:  math.Tanh,
		backend.Erf:   math.Erf,
		backend.Log1p: math.Log1p,
	}
	for fn := backend.Affine; fn <= backend.Log1p; fn++ {
		var first []T
		for _, lx := range layouts {
			for _, ly := range layouts {
				name := fmt.Sprintf("%v, X by %s, Y by %s", fn, lx, ly)
				y := strew(b, x, m, n, ly)
				do(t, b, &backend.Unary{Y: y, X: strew(b, x, m, n, lx), Fn: fn, A: 3, B: -.5})
				got := content[T](y)
				if first == nil {
					first = got
				}
				sameBits(t, name, got, first)
			}
		}
		for i, v := range x {
			floor := 0. // magnitude below which the error is absolute, not relative
			if fn == backend.Affine {
				floor = .5
			}
			near(t, fmt.Sprintf("%v(%v)", fn, v), first[i], want[fn](float64(v)), floor)
		}
	}
}

// near fails unless got differs from want by a few units of float32 rounding,
// or both are NaN.
func near[T number](t *testing.T, what string, got T, want, floor float64) {
	t.Helper()
	g, w := float64(got), float64(T(want))
	if g == w || g != g && w != w {
		return
	}
	if !(math.Abs(g-w) <= 4*0x1p-24*max(math.Abs(w), floor)) {
		t.Errorf("%s = %v, want %v", what, g, w)
	}
}

func TestBinaryInEveryLayout(t *testing.T) {
	t.Run("F32", testBinary[float32])
	t.Run("F64", testBinary[float64])
}

func testBinary[T number](t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	one := func(holds bool) float64 {
		if holds {
			return 1
		}
		return 0
	}
	want := map[backend.BinaryFn]func(a, b float64) float64{
		backend.Add:       func(a, b float64) float64 { return a + b },
		backend.Sub:       func(a, b float64) float64 { return a - b },
		backend.Mul:       func(a, b float64) float64 { return a * b },
		backend.Div:       func(a, b float64) float64 { return a / b },
		backend.Max:       func(a, b float64) float64 { return max(a, b) }, // unlike math.Max: NaN beats +Inf
		backend.Min:       func(a, b float64) float64 { return min(a, b) },
		backend.Less:      func(a, b float64) float64 { return one(a < b) },
		backend.LessEqual: func(a, b float64) float64 { return one(a <= b) },
		backend.Equal:     func(a, b float64) float64 { return one(a == b) },
	}
	c := corners[T]()
	m, n := len(c), len(c)+2
	left := filled(b, c, m, 1).BroadcastTo(m, n)
	right := filled(b, append(normals[T](rng, 2), c...), n).BroadcastTo(m, n)
	as, bs := content[T](left), content[T](right)
	for fn := backend.Add; fn <= backend.Equal; fn++ {
		for _, layout := range layouts {
			y := strew(b, make([]T, m*n), m, n, layout)
			do(t, b, &backend.Binary{Y: y, A: left, B: right, Fn: fn})
			for i, got := range content[T](y) {
				near(t, fmt.Sprintf("%v(%v, %v) by %s", fn, as[i], bs[i], layout), got, want[fn](float64(as[i]), float64(bs[i])), 0)
			}
			packed := filled(b, make([]T, m*n), m, n)
			do(t, b, &backend.Binary{Y: packed, A: filled(b, as, m, n), B: filled(b, bs, m, n), Fn: fn})
			sameBits(t, fmt.Sprintf("%v by %s", fn, layout), content[T](y), content[T](packed))
		}
	}
}

func TestBinaryOfIntegers(t *testing.T) {
	b := withWorkers(t, 1)
	a, c := filled(b, []int32{1, -5, 7}, 3), filled(b, []int32{2, -5, -7}, 3)
	for fn, want := range map[backend.BinaryFn][]int32{
		backend.Add: {3, -10, 0}, backend.Sub: {-1, 0, 14}, backend.Mul: {2, 25, -49}, backend.Max: {2, -5, 7},
		backend.Min:  {1, -5, -7},
		backend.Less: {1, 0, 0}, backend.LessEqual: {1, 1, 0}, backend.Equal: {0, 1, 0},
	} {
		y := filled(b, make([]int32, 3), 3)
		do(t, b, &backend.Binary{Y: y, A: a, B: c, Fn: fn})
		if got := content[int32](y); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %v, want %v", fn, got, want)
		}
	}
	y := filled(b, make([]float32, 3), 3)
	do(t, b, &backend.Binary{Y: y, A: a, B: c, Fn: backend.Equal})
	sameBits(t, "Equal of I32 as F32", content[float32](y), []float32{0, 1, 0})
	mask := filled(b, make([]int32, 2), 2)
	x := filled(b, []float64{1, math.NaN()}, 2)
	do(t, b, &backend.Binary{Y: mask, A: x, B: x, Fn: backend.Equal})
	if got := content[int32](mask); got[0] != 1 || got[1] != 0 {
		t.Errorf("Equal of F64 as I32: %v", got)
	}
	panics(t, func() { b.Do(&backend.Binary{Y: filled(b, make([]int32, 3), 3), A: a, B: c, Fn: backend.Div}) }, "Div",
		"I32")
}

func TestSelectIgnoresWhatIsNotSelected(t *testing.T) {
	b := withWorkers(t, 1)
	nan := float32(math.NaN())
	y := filled(b, make([]float32, 4), 2, 2).T()
	do(t, b, &backend.Select{
		Y: y, Cond: filled(b, []int32{1, 0}, 2).BroadcastTo(2, 2),
		A: filled(b, []float32{1, nan, 3, nan}, 2, 2), B: filled(b, []float32{nan, -1}, 2).BroadcastTo(2, 2),
	})
	sameBits(t, "Select", content[float32](y), []float32{1, -1, 3, -1})
}
