package mathtext

import (
	"hash/fnv"
	"math"
	"math/big"
	"math/cmplx"
	"strings"
)

// number64 returns the numeric value of n, with the values of variables chosen by point. It
// returns NaN if n has no value or a part of it overflows.
func (a *algebra) number64(n *node, point uint64) complex128 {
	a.spend(1)
	arg := func(i int) complex128 { return a.number64(n.args[i], point) }
	switch n.kind {
	case number:
		f, _ := n.num.Float64()
		return complex(f, 0)
	case symbol:
		return a.symbol64(n.text, point)
	case sum, product:
		v := arg(0)
		for i := 1; i < len(n.args); i++ {
			if n.kind == sum {
				v += arg(i)
			} else {
				v *= arg(i)
			}
		}
		return v
	case quotient:
		return arg(0) / arg(1)
	case negation:
		return -arg(0)
	case percent:
		return arg(0) / 100
	case power:
		return power64(arg(0), arg(1))
	case call:
		args := make([]complex128, len(n.args))
		for i := range args {
			args[i] = arg(i)
		}
		return call64(n.text, args)
	}
	return cmplx.NaN()
}

// symbol64 returns the numeric value of a symbol. The value of a variable is between −2 and 3,
// and depends on its name and on point.
func (a *algebra) symbol64(name string, point uint64) complex128 {
	switch name {
	case `\pi`:
		return math.Pi
	case "e":
		return math.E
	case "i":
		return 1i
	case `\infty`:
		return cmplx.NaN()
	}
	if a.fold {
		name = strings.ToLower(name)
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	x := (h.Sum64() ^ point*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	v := float64((x^x>>31)>>11) / (1 << 53) // 0 to 1
	if point%2 == 1 {
		return complex(0.3+2.7*v, 0)
	}
	return complex(-2+2.2*v, 0)
}

func isReal(v complex128) bool { return math.Abs(imag(v)) <= 1e-12*math.Abs(real(v)) }

// power64 returns v to the power w. Odd roots of negative numbers are negative.
func power64(v, w complex128) complex128 {
	if !isReal(v) || !isReal(w) {
		return cmplx.Pow(v, w)
	}
	x, y := real(v), real(w)
	if x >= 0 || y == math.Trunc(y) {
		return complex(math.Pow(x, y), 0)
	}
	for _, odd := range []float64{3, 5, 7, 9} {
		if n := y * odd; math.Abs(n-math.Round(n)) < 1e-12 {
			p := math.Pow(-x, y)
			if math.Mod(math.Round(n), 2) != 0 {
				p = -p
			}
			return complex(p, 0)
		}
	}
	return cmplx.Pow(complex(x, 0), complex(y, 0))
}

var functions64 = map[string]func(complex128) complex128{
	"sin": cmplx.Sin, "cos": cmplx.Cos, "tan": cmplx.Tan, "exp": cmplx.Exp, "ln": cmplx.Log, "arcsin": cmplx.Asin,
	"arccos": cmplx.Acos, "arctan": cmplx.Atan, "sinh": cmplx.Sinh, "cosh": cmplx.Cosh, "tanh": cmplx.Tanh,
	"lg":  cmplx.Log10,
	"cot": func(v complex128) complex128 { return 1 / cmplx.Tan(v) },
	"sec": func(v complex128) complex128 { return 1 / cmplx.Cos(v) },
	"csc": func(v complex128) complex128 { return 1 / cmplx.Sin(v) },
	"abs": func(v complex128) complex128 { return complex(cmplx.Abs(v), 0) },
	"arg": func(v complex128) complex128 { return complex(cmplx.Phase(v), 0) },
}

// real64 holds functions of real numbers.
var real64 = map[string]func(float64) float64{
	"floor": math.Floor, "ceil": math.Ceil,
	"!": func(x float64) float64 { return math.Gamma(x + 1) },
}

// call64 returns the numeric value of a function.
func call64(name string, v []complex128) complex128 {
	if f := functions64[name]; f != nil && len(v) == 1 {
		return f(v[0])
	}
	if f := real64[name]; f != nil && len(v) == 1 && isReal(v[0]) {
		return complex(f(real(v[0])), 0)
	}
	switch {
	case name == "root":
		return power64(v[0], 1/v[1])
	case name == "log" && len(v) == 1:
		return cmplx.Log10(v[0])
	case name == "log":
		return cmplx.Log(v[0]) / cmplx.Log(v[1])
	case (name == "max" || name == "min") && len(v) > 0:
		best := real(v[0])
		for _, w := range v {
			if name == "max" {
				best = max(best, real(w))
			} else {
				best = min(best, real(w))
			}
			if !isReal(w) {
				return cmplx.NaN()
			}
		}
		return complex(best, 0)
	}
	return cmplx.NaN()
}

func finite(v complex128) bool { return !cmplx.IsNaN(v) && !cmplx.IsInf(v) }

// points is the number of points at which expressions with variables are compared.
const points = 6

// alike reports whether m and n have the same values up to rounding: at one point if they are
// constant, otherwise at several.
func (a *algebra) alike(m, n *node) bool {
	if m.isConstant() && n.isConstant() {
		v, w := a.number64(m, 1), a.number64(n, 1)
		return finite(v) && finite(w) && cmplx.Abs(v-w) <= 1e-13*max(1, cmplx.Abs(v), cmplx.Abs(w))
	}
	compared := 0
	for point := range uint64(points) {
		v, w := a.number64(m, point+1), a.number64(n, point+1)
		if finite(v) != finite(w) {
			return false
		}
		if !finite(v) {
			continue
		}
		if compared++; cmplx.Abs(v-w) > 1e-10*max(1, cmplx.Abs(v), cmplx.Abs(w)) {
			return false
		}
	}
	return compared >= 2
}

// scale is 10 to the power of the number of decimals to which decimals are compared.
const scale = 1_000_000

// roundsTo reports whether got is want after both are rounded to 6 decimals, or to
// 6 digits if 6 decimals of want are zero.
func roundsTo(want, got complex128) bool {
	if !finite(want) || !finite(got) {
		return false
	}
	unit := 1.0 / scale
	if size := cmplx.Abs(want); size > 0 && size < unit/2 {
		unit = math.Pow(10, math.Floor(math.Log10(size))-5)
	}
	close := func(x, y float64) bool {
		return math.Round(x/unit) == math.Round(y/unit) || math.Abs(x-y) <= 1e-14*max(math.Abs(x), math.Abs(y))
	}
	return close(real(want), real(got)) && close(imag(want), imag(got))
}

// rationalRoundsTo is roundsTo for rational numbers, computed exactly.
func rationalRoundsTo(want, got *big.Rat) bool {
	w, _ := want.Float64()
	if math.Abs(w) < 1.0/scale/2 || math.Abs(w) > 1e300 {
		g, _ := got.Float64()
		return roundsTo(complex(w, 0), complex(g, 0))
	}
	return rounded(want).Cmp(rounded(got)) == 0
}

// rounded returns r·scale rounded half away from zero.
func rounded(r *big.Rat) *big.Int {
	n := new(big.Int).Mul(r.Num(), big.NewInt(2*scale))
	d := new(big.Int).Lsh(r.Denom(), 1)
	if n.Sign() >= 0 {
		n.Add(n, r.Denom())
	} else {
		n.Sub(n, r.Denom())
	}
	return n.Quo(n, d)
}
