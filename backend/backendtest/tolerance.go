package backendtest

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// Tolerance is the allowed error of an element that an op writes. The error is taken from
// the op's definition, computed in float64 from the rounded operands. It may be
//
//	Slack · Roundoff · bound + Underflow
//
// If the element is BF16, the ends of this interval are rounded to BF16 too, since a
// result is rounded to BF16 once. bound is the first-order error of the op in units of
// roundoff; Bound says what it is for each op. An element whose bound is 0 must be exact.
type Tolerance struct {
	Op        string
	DType     backend.DType // dtype of the element
	Roundoff  float64       // half the distance from 1 to the next number of DType.Compute
	Slack     float64       // factor for bounds, which are first-order estimates
	Underflow float64       // error allowed for digits lost below the smallest normal number
	Bound     string        // bound as a formula, with the reason
}

// Allowed returns the largest difference from want that an element with the given bound
// may have.
func (t Tolerance) Allowed(want, bound float64) float64 {
	allowed := 0.0
	if bound > 0 {
		allowed = t.Slack*t.Roundoff*bound + t.Underflow
	}
	if t.DType == backend.BF16 {
		return afterRounding(want, allowed)
	}
	return allowed
}

// ToleranceOf returns the tolerance of elements of dt that op writes. ok reports whether
// the suite has cases of op.
func ToleranceOf(op string, dt backend.DType) (t Tolerance, ok bool) {
	bound, ok := bounds[op]
	c := dt.Compute()
	return Tolerance{Op: op, DType: dt, Roundoff: roundoff(c), Slack: slack, Underflow: underflow(c), Bound: bound}, ok
}

// Tolerances lists the tolerances of all ops, in F32, F64 and BF16.
func Tolerances() []Tolerance {
	var all []Tolerance
	for _, op := range Ops() {
		for _, dt := range []backend.DType{backend.F32, backend.F64, backend.BF16} {
			t, _ := ToleranceOf(op, dt)
			all = append(all, t)
		}
	}
	return all
}

// T(n) in the formulas below is terms(n) = 4 + √n + n/32, the error of a sum of n terms
// relative to the sum of their magnitudes, in units of roundoff: errors of random sign grow
// with √n, errors of equal terms with n. With the worst case, n, a missing term of a long sum
// would pass.
const (
	exactBound   = "0: the op only moves, selects or counts"
	productBound = "T(K)·Σ|a·b|: one sum of K products; in a format other than Native, of the rounded operands, " +
		"plus the errors of quantising them"
	lseBound = "L = e + |LSE| + T(V): e is the error of the largest logit, from a product or the scaling, " +
		"and the logarithm is of a sum of V exponentials"
	gradientBound = "T(terms)/2·Σ(error of the term + |term|)"
)

// bounds describes the bound of each op.
var bounds = map[string]string{
	"Copy": exactBound, "Fill": exactBound, "Iota": exactBound, "Select": exactBound,
	"ReduceMax": exactBound, "TopK": exactBound, "Gather": exactBound, "Scatter": exactBound, "GatherLast": exactBound,
	"MoEDispatch": exactBound, "MoERoute": exactBound,
	"Max": exactBound, "Min": exactBound, "Clamp": exactBound, "Abs": exactBound, "Sign": exactBound,
	"Less": exactBound, "LessEqual": exactBound, "Equal": exactBound,

	"Affine":     "|A·x| + |B|: one product and one sum",
	"Exp":        "2·eˣ: correctly rounded but for the last digit",
	"Log":        "2·|ln x|: correctly rounded but for the last digit",
	"Sigmoid":    "3·σ(x): an exponential, a sum, a quotient",
	"Sqrt":       "√x: correctly rounded",
	"Reciprocal": "1/|x|: correctly rounded",
	"Tanh":       "4·|tanh x|: correctly rounded but for the last digits",
	"Erf":        "4·|erf x|: correctly rounded but for the last digits",
	"Log1p":      "2·|ln(1+x)|: correctly rounded but for the last digit",
	"Add":        "|y|: correctly rounded",
	"Sub":        "|y|: correctly rounded",
	"Mul":        "|y|: correctly rounded",
	"Div":        "|y|: correctly rounded",

	"Sum":         "T(n)·Σ|x|: one sum of n terms",
	"SumSquares":  "T(n)·Σx²: one sum of n terms",
	"Softmax":     "y·(min(max x − x, 200) + T(n)): the shift's rounding through the exponential, then the sum",
	"ScatterAdd":  "T(N)·Σ|terms|: one sum of at most N terms",
	"ScatterLast": "T(K)·Σ|terms|: one sum of at most K terms",
	"Random": "|y|, and for the normal distribution 16 roundoffs of float64 times the radius of its " +
		"Box–Muller pair",

	"MatMul": productBound, "GroupedMatMul": productBound, "GroupedOuter": productBound,
	"Unpack": "the error of quantising the element; 0 in a format without scales",

	"RMSNorm":     "T(D)·|y|: the mean square is a sum of D terms",
	"RMSNormGrad": "T(D)·Rstd·(|u| + |x̂|·mean|u·x̂|); DW: T(N)·Σ|dy·x̂|, one sum over rows",
	"SwiGLU":      "6·|y|: a sigmoid and two products",
	"SwiGLUGrad":  "6·|dy·up·σ|·(1+|z|), 6·|dy·z·σ|: a sigmoid and a few products",
	"RoPE":        "2·(|a·cos| + |b·sin|): two products and a sum; 0 for elements that are not rotated",
	"MLAKeys":     "2·(|a·cos| + |b·sin|) for rotated elements, 0 for the others",
	"MLAKeysGrad": "T(H+2)·Σ|dk|, rotated: one sum over heads; 0 for DUp",

	"Attention": "e = the error of the largest score, T(Dk)·Scale·Σ|q·k|, plus |LSE| + T(keys): " +
		"e for LSE, e·Σ p·|v| for O, as an error of a score is a relative error of its exponential",
	"AttentionGrad": gradientBound + "; a term's error is that of its probability, which is Attention's, " +
		"times its magnitude",

	"LogSumExp":         lseBound + "; L·(1 + Σ p·|z|) for the entropy",
	"LinearLogProb":     "2·L for LogProb, L for LSE, L·(1 + Σ p·|z|) for the entropy, where " + lseBound,
	"LinearLogProbGrad": gradientBound,
	"Sample":            "2·L for LogProb, 0 for the token, where " + lseBound,

	"MoEGate": "B·s for scores, (2B + T(K))·|w| for weights, 0 for the chosen experts, " +
		"where B = 4 for a sigmoid and 8 + T(E) for softmax",
	"MoEWeights":          "(4 + T(K))·|w|: a quotient by a sum of K",
	"MoEGateGrad":         "(T(E)+T(K)) times the magnitudes of the terms that are subtracted",
	"MoECombine":          gradientBound,
	"MoECombineGrad":      gradientBound,
	"SequenceBalance":     "(T(N·E)+T(E))·Loss: a sum over rows and experts of quotients by a sum over experts",
	"SequenceBalanceGrad": "2·T(E)·|factor|·(f + mean f): the difference of a frequency and a weighted mean of E",

	"AdamW": "|w| + f·LR·(8·|step| + 4·|decay·w|) for W, 4·Σ|terms| for M and 4·V for V: a few operations each",
}

// roundoff returns half the distance from 1 to the next number of dt.
func roundoff(dt backend.DType) float64 {
	if dt == backend.F64 {
		return 0x1p-53
	}
	return 0x1p-24
}

// slack is the factor for every bound: bounds are first-order estimates.
const slack = 4

// underflow returns the error that is allowed besides the bound: numbers below the
// smallest normal one, 2⁻¹²⁶ or 2⁻¹⁰²² in F64, lose digits or are flushed to 0, and the
// op then multiplies them by values as large as hundreds.
func underflow(dt backend.DType) float64 {
	if dt == backend.F64 {
		return 0x1p-1012
	}
	return 0x1p-116
}

// afterRounding returns how far a BF16 result may be from want if, before it is rounded
// once, the result may be within from it.
func afterRounding(want, within float64) float64 {
	lo, hi := backend.BF16.Round(want-within), backend.BF16.Round(want+within)
	return max(hi-want, want-lo)
}

// terms returns the error that a sum of n terms may have, in units of roundoff and
// relative to the sum of the magnitudes: T(n) in the formulas of bounds.
func terms(n int) float64 { return 4 + math.Sqrt(float64(n)) + float64(n)/32 }
