package backendtest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
)

// Case is one op on concrete operands. Cases and RandomCase make cases; the zero Case is
// not usable.
type Case struct {
	Op      string        // name of the op
	DType   backend.DType // dtype of the activations; ops compute in DType.Compute
	Strided bool          // operands have odd offsets and gaps and are permuted or repeated, as far as the op allows
	Seed    uint64        // seed of the operands' values and layout
	spec    spec
}

// Name returns a path such as "RMSNorm/F32/strided/{N:3,D:65}".
func (c Case) Name() string {
	layout := "dense"
	if c.Strided {
		layout = "strided"
	}
	params := strings.ReplaceAll(fmt.Sprintf("%+v", c.spec), " ", ",")
	return fmt.Sprintf("%s/%s/%s/%s", c.Op, c.DType, layout, params)
}

// String returns the name and the seed, which together reproduce the case.
func (c Case) String() string { return fmt.Sprintf("%s seed %#x", c.Name(), c.Seed) }

// spec has the sizes and attributes of a case. Names of cases show its fields.
type spec interface {
	// op returns the name of the op that build makes.
	op() string
	// build makes the operands, the op, and the function that computes what the op must
	// compute.
	build(s *setup)
}

// typed is a spec that determines the dtype of the case itself, since its operands mix
// dtypes.
type typed interface{ dtype() backend.DType }

// withoutF64 is a spec that has no cases in F64.
type withoutF64 interface{ noF64() }

// family has the cases of one op.
type family struct {
	cases    []spec                  // cases for correctness, run contiguous and strided
	random   func(r *rand.Rand) spec // returns a random small case
	gradient []spec                  // small and smooth cases for finite differences
	bench    []spec                  // cases of realistic sizes
	bf16     bool                    // the op takes activations in BF16
}

// families returns the cases of all ops in a fixed order.
func families() []family {
	return []family{
		copyFamily(), fillFamily(), iotaFamily(), unaryFamily(), binaryFamily(), selectFamily(),
		reduceFamily(), softmaxFamily(), topKFamily(),
		gatherFamily(), scatterFamily(), gatherLastFamily(), scatterLastFamily(),
		randomFamily(),
		matMulFamily(), groupedMatMulFamily(), groupedOuterFamily(),
		formatMatMulFamily(), formatGroupedFamily(), formatOuterFamily(), unpackFamily(), codesFamily(),
		formatLogProbFamily(), formatLogProbGradFamily(),
		rmsNormFamily(), rmsNormGradFamily(), swiGLUFamily(), swiGLUGradFamily(), ropeFamily(), mlaKeysFamily(),
		mlaKeysGradFamily(),
		attentionFamily(), attentionGradFamily(),
		logSumExpFamily(), linearLogProbFamily(), linearLogProbGradFamily(), sampleFamily(),
		moeGateFamily(), moeWeightsFamily(), moeGateGradFamily(), moeRouteFamily(), moeDispatchFamily(),
		moeCombineFamily(), moeCombineGradFamily(), sequenceBalanceFamily(), sequenceBalanceGradFamily(),
		adamWFamily(),
	}
}

// Cases lists the cases of every op: lengths 0, 1 and around block sizes, ties, empty
// groups, large magnitudes, NaN. Each comes in F32, F64 and, if the op takes it, BF16,
// contiguous and strided. The list is the same on every run.
func Cases() []Case {
	var cases []Case
	for _, f := range families() {
		for _, s := range f.cases {
			cases = append(cases, variants(s, f.bf16)...)
		}
	}
	return cases
}

// Ops lists the names of the ops that have cases, in the order of Cases.
func Ops() []string {
	var ops []string
	for _, f := range families() {
		for _, s := range f.cases {
			if !slices.Contains(ops, s.op()) {
				ops = append(ops, s.op())
			}
		}
	}
	return ops
}

func variants(s spec, bf16 bool) []Case {
	dtypes := []backend.DType{backend.F32, backend.F64}
	if bf16 {
		dtypes = append(dtypes, backend.BF16)
	}
	if _, ok := s.(withoutF64); ok {
		dtypes = slices.Delete(dtypes, 1, 2)
	}
	if t, ok := s.(typed); ok {
		dtypes = []backend.DType{t.dtype()}
	}
	var cases []Case
	for _, dt := range dtypes {
		for _, strided := range []bool{false, true} {
			c := Case{Op: s.op(), DType: dt, Strided: strided, spec: s}
			h := fnv.New64a()
			h.Write([]byte(c.Name()))
			c.Seed = h.Sum64()
			cases = append(cases, c)
		}
	}
	return cases
}

// RandomCase returns the random case for a seed: any op, any small shape, any layout.
func RandomCase(seed uint64) Case {
	r := rand.New(rand.NewPCG(seed, 1))
	all := families()
	f := all[r.IntN(len(all))]
	s := f.random(r)
	c := Case{Op: s.op(), DType: backend.F32, Strided: r.IntN(4) > 0, Seed: seed, spec: s}
	switch r.IntN(3) {
	case 0:
		c.DType = backend.F64
	case 1:
		if f.bf16 {
			c.DType = backend.BF16
		}
	}
	if _, ok := s.(withoutF64); ok && c.DType == backend.F64 {
		c.DType = backend.F32
	}
	if t, ok := s.(typed); ok {
		c.DType = t.dtype()
	}
	return c
}

// GradientCases lists the cases of gradient ops, for CheckGradient.
func GradientCases() []Case {
	var cases []Case
	for _, f := range families() {
		for _, s := range f.gradient {
			cases = append(cases, Case{Op: s.op(), DType: backend.F64, Seed: 1, spec: s})
		}
	}
	return cases
}

// edges are lengths around the block sizes that kernels use.
var edges = []int{0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 255, 257, 383, 385}

// size returns a random length from lo to about 70, often one near a block size.
func size(r *rand.Rand, lo int) int {
	if r.IntN(3) == 0 {
		return max(lo, edges[r.IntN(12)])
	}
	return lo + r.IntN(40)
}

// randomShape returns a random shape of rank lo to backend.MaxRank.
func randomShape(r *rand.Rand, lo int) []int {
	dims := make([]int, lo+r.IntN(backend.MaxRank-lo+1))
	for i := range dims {
		dims[i] = r.IntN(7)
		if i == len(dims)-1 {
			dims[i] = size(r, 0)
		}
	}
	return dims
}
