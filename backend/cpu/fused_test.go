package cpu

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/aha-go/aha/backend"
)

// bench is a backend with a fixed number of workers and a seeded source of
// random operands.
type bench struct {
	t     testing.TB
	b     *CPU
	dtype backend.DType
	rng   *rand.Rand
}

func newBench(t testing.TB, dtype backend.DType, workers int, seed uint64) *bench {
	t.Logf("seed %d", seed)
	return &bench{t, withWorkers(t, workers), dtype, rand.New(rand.NewPCG(seed, 0))}
}

// zeros returns a zeroed view of the bench's dtype.
func (s *bench) zeros(shape ...int) backend.View { return s.alloc(s.dtype, shape...) }

func (s *bench) alloc(dt backend.DType, shape ...int) backend.View {
	v := backend.NewView(nil, dt, shape...)
	buf, err := s.b.Alloc(v.Len() * dt.Size())
	if err != nil {
		s.t.Fatal(err)
	}
	v.Buf = buf
	return v
}

// stats returns a zeroed view of the dtype in which statistics are kept.
func (s *bench) stats(shape ...int) backend.View { return s.alloc(s.dtype.Compute(), shape...) }

// normal returns a view of standard normal numbers.
func (s *bench) normal(shape ...int) backend.View { return s.normalOf(s.dtype, shape...) }

func (s *bench) normalOf(dt backend.DType, shape ...int) backend.View {
	v := s.alloc(dt, shape...)
	for i := range v.Len() {
		s.set(v, i, s.rng.NormFloat64())
	}
	return v
}

// values returns a view of the given numbers.
func (s *bench) values(x []float64, shape ...int) backend.View {
	v := s.zeros(shape...)
	for i, f := range x {
		s.set(v, i, f)
	}
	return v
}

func (s *bench) set(v backend.View, i int, x float64) {
	switch v.DType {
	case backend.F64:
		data[float64](&v)[i] = x
	case backend.BF16:
		data[uint16](&v)[i] = bfloat16(float32(x))
	default:
		data[float32](&v)[i] = float32(x)
	}
}

// ints returns a view of the given int32 numbers.
func (s *bench) ints(x []int32, shape ...int) backend.View {
	v := s.alloc(backend.I32, shape...)
	copy(data[int32](&v), x)
	return v
}

func (s *bench) do(op backend.Op) {
	s.t.Helper()
	if err := s.b.Do(op); err != nil {
		s.t.Fatal(err)
	}
}

// floats returns the elements of a contiguous view.
func floats(v backend.View) []float64 {
	x := make([]float64, v.Len())
	for i := range x {
		switch v.DType {
		case backend.F64:
			x[i] = data[float64](&v)[i]
		case backend.F32:
			x[i] = float64(data[float32](&v)[i])
		default:
			x[i] = float64(data[int32](&v)[i])
		}
	}
	return x
}

// written returns the contents of the views that op writes.
func written(op backend.Op) [][]float64 {
	var all [][]float64
	op.Operands(func(v *backend.View, a backend.Access) {
		if a != backend.Read {
			all = append(all, floats(*v))
		}
	})
	return all
}

// caseRows is the number of rows in the cases. No other dimension has this
// size.
const caseRows = 131

// sequencesOf returns Start and Len of each row of a batch of packed sequences.
func sequencesOf(lengths ...int) (start, length []int32) {
	first := 0
	for _, n := range lengths {
		for i := range n {
			start, length = append(start, int32(first)), append(length, int32(i+1))
		}
		first += n
	}
	return start, length
}

// ids returns n random numbers below limit.
func (s *bench) ids(n, limit int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(s.rng.IntN(limit))
	}
	return x
}

// permutation returns the numbers 0 to n−1 shuffled.
func (s *bench) permutation(n int) []int32 {
	x := make([]int32, n)
	for i, p := range s.rng.Perm(n) {
		x[i] = int32(p)
	}
	return x
}

// positive returns a view of uniform random numbers in [0, 1).
func (s *bench) positive(shape ...int) backend.View {
	v := s.zeros(shape...)
	for i := range v.Len() {
		s.set(v, i, s.rng.Float64())
	}
	return v
}

// fusedCases build one op of each kind. If byRow is set, row i of the results
// depends only on row i of those operands that have caseRows rows.
var fusedCases = []struct {
	name  string
	byRow bool
	build func(s *bench) backend.Op
}{
	{"RMSNorm", true, func(s *bench) backend.Op {
		return &backend.RMSNorm{Y: s.zeros(caseRows, 40), Rstd: s.zeros(caseRows), X: s.normal(caseRows, 40),
			W: s.normal(40), Eps: 1e-6}
	}},
	{"RMSNormGrad of the input", true, func(s *bench) backend.Op {
		return &backend.RMSNormGrad{DX: s.zeros(caseRows, 40), DY: s.normal(caseRows, 40), X: s.normal(caseRows, 40),
			W: s.normal(40), Rstd: s.positive(caseRows)}
	}},
	{"RMSNormGrad", false, func(s *bench) backend.Op {
		return &backend.RMSNormGrad{DX: s.zeros(caseRows, 40), DW: s.zeros(40), DY: s.normal(caseRows, 40),
			X: s.normal(caseRows, 40), W: s.normal(40), Rstd: s.positive(caseRows)}
	}},
	{"RoPE", true, func(s *bench) backend.Op {
		return &backend.RoPE{Y: s.zeros(caseRows, 3, 8), X: s.normal(caseRows, 3, 8), Pos: s.ints(s.ids(caseRows, 50),
			caseRows), Cos: s.normal(50, 4), Sin: s.normal(50, 4)}
	}},
	{"MLAKeys", true, func(s *bench) backend.Op {
		return &backend.MLAKeys{K: s.zeros(caseRows, 3, 13), V: s.zeros(caseRows, 3, 7), Up: s.normal(caseRows, 3, 12),
			KR: s.normal(caseRows, 8), Pos: s.ints(s.ids(caseRows, 50), caseRows),
			Cos: s.normal(50, 4), Sin: s.normal(50, 4)}
	}},
	{"MLAKeysGrad", true, func(s *bench) backend.Op {
		return &backend.MLAKeysGrad{DUp: s.zeros(caseRows, 3, 12), DKR: s.zeros(caseRows, 8), DK: s.normal(caseRows, 3,
			13), DV: s.normal(caseRows, 3, 7), Pos: s.ints(s.ids(caseRows, 50), caseRows),
			Cos: s.normal(50, 4), Sin: s.normal(50, 4)}
	}},
	{"SwiGLU", true, func(s *bench) backend.Op {
		return &backend.SwiGLU{Y: s.zeros(caseRows, 37), Gate: s.normal(caseRows, 37), Up: s.normal(caseRows, 37)}
	}},
	{"SwiGLUGrad", true, func(s *bench) backend.Op {
		return &backend.SwiGLUGrad{DGate: s.zeros(caseRows, 37), DUp: s.zeros(caseRows, 37), DY: s.normal(caseRows, 37),
			Gate: s.normal(caseRows, 37), Up: s.normal(caseRows, 37)}
	}},
	{"Attention", true, func(s *bench) backend.Op {
		start, length := sequencesOf(50, 1, 33, 47)
		return &backend.Attention{O: s.zeros(caseRows, 4, 11), LSE: s.zeros(caseRows, 4), Q: s.normal(caseRows, 4, 13),
			K: s.normal(140, 2, 13), V: s.normal(140, 2, 11),
			Start: s.ints(start, caseRows), Len: s.ints(length, caseRows), Scale: 0.3}
	}},
	{"AttentionGrad", false, func(s *bench) backend.Op {
		start, length := sequencesOf(50, 1, 33, 47)
		return &backend.AttentionGrad{DQ: s.zeros(caseRows, 4, 13), DK: s.zeros(140, 2, 13), DV: s.zeros(140, 2, 11),
			DO: s.normal(caseRows, 4, 11), O: s.normal(caseRows, 4, 11),
			LSE: s.positive(caseRows, 4), Q: s.normal(caseRows, 4, 13), K: s.normal(140, 2, 13), V: s.normal(140, 2, 11),
			Start: s.ints(start, caseRows), Len: s.ints(length, caseRows), Scale: 0.3}
	}},
	{"MoEGate", true, func(s *bench) backend.Op {
		return &backend.MoEGate{Weight: s.zeros(caseRows, 4), Index: s.ints(nil, caseRows, 4), Scores: s.zeros(caseRows,
			16), Logits: s.normal(caseRows, 16), Bias: s.normal(16),
			Groups: 4, TopGroups: 2, Normalize: true, Scale: 2.5}
	}},
	{"MoEWeights", false, func(s *bench) backend.Op {
		return &backend.MoEWeights{Weight: s.zeros(caseRows, 4), Scores: s.positive(caseRows, 16),
			Index: s.ints(s.ids(caseRows*4, 16), caseRows, 4), Normalize: true, Scale: 2.5}
	}},
	{"MoEGateGrad", true, func(s *bench) backend.Op {
		index := make([]int32, 0, caseRows*4)
		for range caseRows {
			index = append(index, s.permutation(16)[:4]...)
		}
		return &backend.MoEGateGrad{DLogits: s.zeros(caseRows, 16), DWeight: s.normal(caseRows, 4),
			DScores: s.normal(caseRows, 16), Scores: s.positive(caseRows, 16),
			Index: s.ints(index, caseRows, 4), Scoring: backend.ScoreSoftmax, Normalize: true, Scale: 2.5}
	}},
	{"MoERoute", false, func(s *bench) backend.Op {
		return &backend.MoERoute{Offsets: s.ints(nil, 17), Perm: s.ints(nil, caseRows*4), Inverse: s.ints(nil, caseRows,
			4), Index: s.ints(s.ids(caseRows*4, 16), caseRows, 4)}
	}},
	{"MoEDispatch", false, func(s *bench) backend.Op {
		return &backend.MoEDispatch{Y: s.zeros(caseRows*4, 20), X: s.normal(caseRows, 20),
			Perm: s.ints(s.permutation(caseRows*4), caseRows*4)}
	}},
	{"MoECombine", false, func(s *bench) backend.Op {
		return &backend.MoECombine{Y: s.zeros(caseRows, 20), X: s.normal(caseRows*4, 20), Weight: s.normal(caseRows, 4),
			Inverse: s.ints(s.permutation(caseRows*4), caseRows, 4)}
	}},
	{"MoECombineGrad", false, func(s *bench) backend.Op {
		return &backend.MoECombineGrad{DX: s.zeros(caseRows*4, 20), DWeight: s.zeros(caseRows, 4), DY: s.normal(caseRows,
			20), X: s.normal(caseRows*4, 20), Weight: s.normal(caseRows, 4),
			Inverse: s.ints(s.permutation(caseRows*4), caseRows, 4)}
	}},
	{"SequenceBalance", false, func(s *bench) backend.Op {
		return &backend.SequenceBalance{Loss: s.zeros(1), Scores: s.positive(caseRows, 16), SeqStart: s.ints([]int32{0,
			50, 51, 51, caseRows}, 5), K: 4, Coef: 0.1}
	}},
	{"SequenceBalanceGrad", false, func(s *bench) backend.Op {
		return &backend.SequenceBalanceGrad{DScores: s.zeros(caseRows, 16), DLoss: s.normal(1),
			Scores: s.positive(caseRows, 16), SeqStart: s.ints([]int32{0, 50, 51, 51, caseRows}, 5), K: 4, Coef: 0.1}
	}},
	{"LogSumExp", true, func(s *bench) backend.Op {
		return &backend.LogSumExp{LSE: s.zeros(caseRows), Entropy: s.zeros(caseRows), X: s.normal(caseRows, 4500),
			InvTemp: 0.8}
	}},
	{"LinearLogProb", true, func(s *bench) backend.Op {
		return &backend.LinearLogProb{LogProb: s.zeros(caseRows), LSE: s.zeros(caseRows), Entropy: s.zeros(caseRows),
			X: s.normal(caseRows, 12), W: backend.MatrixOf(s.normal(4500, 12).T()),
			Target: s.ints(s.ids(caseRows, 4500), caseRows), InvTemp: 0.8}
	}},
	{"LinearLogProbGrad of the input", true, func(s *bench) backend.Op {
		return &backend.LinearLogProbGrad{DX: s.zeros(caseRows, 12), DLogProb: s.normal(caseRows),
			DEntropy: s.normal(caseRows), X: s.normal(caseRows, 12), W: backend.MatrixOf(s.normal(4500, 12).T()),
			Target: s.ints(s.ids(caseRows, 4500), caseRows), LSE: s.positive(caseRows), Entropy: s.positive(caseRows),
			InvTemp: 0.8}
	}},
	{"LinearLogProbGrad", false, func(s *bench) backend.Op {
		return &backend.LinearLogProbGrad{DX: s.zeros(caseRows, 12), DW: s.zeros(4500, 12), DLogProb: s.normal(caseRows),
			X: s.normal(caseRows, 12), W: backend.MatrixOf(s.normal(4500, 12).T()),
			Target: s.ints(s.ids(caseRows, 4500), caseRows), LSE: s.positive(caseRows), InvTemp: 0.8}
	}},
	{"Sample", true, func(s *bench) backend.Op {
		return &backend.Sample{Token: s.ints(nil, caseRows), LogProb: s.zeros(caseRows), X: s.normal(caseRows, 4500),
			Seed: s.ints(s.ids(2*caseRows, 1<<30), caseRows, 2),
			Pos:  s.ints(s.ids(caseRows, 1000), caseRows), TopK: s.ints(s.ids(caseRows, 9), caseRows),
			Temperature: s.positive(caseRows), TopP: s.positive(caseRows)}
	}},
}

// eachCase runs f for every case and dtype.
func eachCase(t *testing.T, f func(t *testing.T, dt backend.DType, byRow bool, build func(s *bench) backend.Op)) {
	for _, c := range fusedCases {
		for _, dt := range []backend.DType{backend.F32, backend.F64} {
			t.Run(fmt.Sprintf("%s/%s", c.name, dt), func(t *testing.T) { f(t, dt, c.byRow, c.build) })
		}
	}
}

func TestFusedOpsGiveTheSameBitsOnAnyNumberOfWorkers(t *testing.T) {
	eachCase(t, func(t *testing.T, dt backend.DType, _ bool, build func(s *bench) backend.Op) {
		const seed = 1
		var want [][]float64
		for _, workers := range []int{1, 2, 3} {
			s := newBench(t, dt, workers, seed)
			op := build(s)
			s.do(op)
			got := written(op)
			if workers == 1 {
				want = got
			}
			for i := range want {
				sameBits(t, fmt.Sprintf("%d workers, result %d", workers, i), got[i], want[i])
			}
		}
	})
}

func TestFusedOpsGiveARowAloneTheBitsItHasAmongMany(t *testing.T) {
	eachCase(t, func(t *testing.T, dt backend.DType, byRow bool, build func(s *bench) backend.Op) {
		if !byRow {
			t.Skip("rows are not independent")
		}
		s := newBench(t, dt, 2, 2)
		op := build(s)
		s.do(op)
		want := written(op)
		for i := 0; i < caseRows; i += 10 {
			s.do(onlyRows(op, i, i+1))
		}
		s.do(onlyRows(op, 3, caseRows-5))
		got := written(op)
		for i := range want {
			sameBits(t, fmt.Sprintf("result %d", i), got[i], want[i])
		}
	})
}

// onlyRows returns op restricted to rows lo to hi−1 of its operands with
// caseRows rows.
func onlyRows(op backend.Op, lo, hi int) backend.Op {
	part := reflect.New(reflect.TypeOf(op).Elem())
	part.Elem().Set(reflect.ValueOf(op).Elem())
	for i := range part.Elem().NumField() {
		if v, ok := part.Elem().Field(i).Addr().Interface().(*backend.View); ok && v.Rank > 0 && v.Shape[0] == caseRows {
			*v = v.Slice(0, lo, hi)
		}
	}
	return part.Interface().(backend.Op)
}

func TestFusedOpsAllocateNothingInTheSteadyState(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector, sync.Pool drops items at random")
	}
	eachCase(t, func(t *testing.T, dt backend.DType, _ bool, build func(s *bench) backend.Op) {
		s := newBench(t, dt, 1, 3)
		op := build(s)
		run := func() {
			if err := s.b.doFused(op); err != nil { // not Do, whose checks allocate
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(5, run); n != 0 {
			t.Errorf("%v allocations a call", n)
		}
	})
}
