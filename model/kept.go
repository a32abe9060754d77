package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Shapes: N rows, V vocabulary, K tokens.

// keptLogits is the maximum number of logits that Kept keeps in memory at once.
const keptLogits = 1 << 24

// Kept returns, for each of the given rows of the output, the tokens that s keeps in the
// distribution, in ascending order: a Generator with the same weights draws from these. The
// list of a row is nil if s keeps the whole vocabulary.
func (o Output) Kept(rows []int32, s Sampling) ([][]int32, error) {
	kept := make([][]int32, len(rows))
	if s.Greedy || !s.Drops() {
		return kept, nil
	}
	few := max(keptLogits/o.model.Config.VocabSize, 1)
	for at := 0; at < len(rows); at += few {
		end := min(at+few, len(rows))
		if err := o.keep(kept[at:end], rows[at:end], s); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// keep is Kept for a number of rows that fits the limit. It follows the definition of
// backend.Sample: the TopK largest logits, and of these the most likely tokens until their
// probabilities, summed in float64, reach TopP; ties go to the lowest id.
func (o Output) keep(kept [][]int32, rows []int32, s Sampling) error {
	scope := tensor.NewScope(o.model.Backend(), tensor.Options{})
	defer scope.Close()
	scope.Fail(o.Hidden.Scope().Err())
	hidden := tensor.GatherRows(scope.Constant(o.Hidden.View()), scope.Ints(rows, len(rows)))
	z := Output{Hidden: hidden, model: o.model}.logits(s.temperature()) // [N,V]
	n, v := z.Dim(0), z.Dim(1)
	most := v
	if s.TopK > 0 {
		most = min(s.TopK, v)
	}
	best := func(k int) (tensor.Tensor, [][]int32, error) {
		_, index := tensor.TopK(z, k)
		ids := make([]int32, n*k)
		err := tensor.Download(ids, index)
		return index, slices.Collect(slices.Chunk(ids, k)), err
	}
	left := z
	if most < v {
		_, ids, err := best(most)
		if err != nil {
			return err
		}
		copy(kept, ids)
		left = tensor.Add(z, mask(scope, z.DType(), kept, v))
	}
	if s.TopP > 0 && s.TopP < 1 {
		topP := s.TopP
		if z.DType() == backend.F32 { // the sampler reads top-p from an F32 buffer
			topP = float64(float32(topP))
		}
		const first = 64
		for k, done := min(first, most), false; !done; k = min(4*k, most) {
			index, ids, err := best(k)
			if err != nil {
				return err
			}
			p, err := tensor.Exp(tensor.LogSoftmaxAt(left, index)).Values()
			if err != nil {
				return err
			}
			done = true
			for i, row := range ids {
				mass, m := 0.0, 0
				for m == 0 || m < k && mass < topP {
					mass += p[i*k+m]
					m++
				}
				kept[i] = row[:m]
				done = done && (mass >= topP || k == most)
			}
		}
	}
	for i, ids := range kept {
		kept[i] = slices.Clone(ids)
		slices.Sort(kept[i])
	}
	return nil
}

// ScoreKept is Score with the distribution of each row restricted to its kept tokens, one
// list per row, where nil means the whole vocabulary. With the lists of Kept, it gives the
// log-probabilities of a Generator with top-k or top-p, bit for bit. The lists are
// constants; gradients flow through the logits of kept tokens. The logits [N, V] are kept
// in memory. A target that is not kept is an error of the scope.
func (o Output) ScoreKept(b Batch, temperature float64, kept [][]int32) (logProb, entropy tensor.Tensor) {
	s := o.Hidden.Scope()
	target, counts := make([]int32, 0, len(kept)), make([]float64, 0, len(kept))
	for _, q := range b.Host {
		for i := range q.Rows() {
			id, count := q.IDs[i+1], 1.0
			if q.weight(i) == 0 {
				id, count = 0, 0
			} else if row := len(target); row < len(kept) && kept[row] != nil {
				if _, ok := slices.BinarySearch(kept[row], id); !ok {
					s.Fail(fmt.Errorf("model: ScoreKept: row %d: token %d is not among the %d kept", row, id, len(kept[row])))
				}
			}
			target, counts = append(target, id), append(counts, count)
		}
	}
	n := len(target)
	if len(kept) != n {
		panic(fmt.Sprintf("model: ScoreKept: %d lists of kept tokens for %d rows", len(kept), n))
	}
	z := o.logits(temperature) // [N,V]
	z = tensor.Add(z, mask(s, z.DType(), kept, z.Dim(1)))
	logProb = tensor.LogSoftmaxAt(z, s.Ints(target, n))
	all := tensor.LogSoftmax(z)
	// Dropped tokens have probability 0; clamping keeps their logarithm finite.
	entropy = tensor.Neg(tensor.SumLast(tensor.Mul(tensor.Exp(all), tensor.Clamp(all, -math.MaxFloat32, 1))))
	return tensor.Mul(logProb, s.Floats(z.DType(), counts, n)), entropy
}

// mask returns 0 for the kept tokens of each row and −Inf for the others, [N, V].
func mask(s *tensor.Scope, dt backend.DType, kept [][]int32, v int) tensor.Tensor {
	if dt == backend.F64 {
		return s.Floats(dt, maskOf[float64](kept, v), len(kept), v)
	}
	return s.Float32s(maskOf[float32](kept, v), len(kept), v)
}

func maskOf[T float32 | float64](kept [][]int32, v int) []T {
	m := make([]T, len(kept)*v)
	for i, ids := range kept {
		if ids == nil {
			continue
		}
		row := m[i*v : (i+1)*v]
		for j := range row {
			row[j] = T(math.Inf(-1))
		}
		for _, id := range ids {
			row[id] = 0
		}
	}
	return m
}

// logits returns z/temperature [N, V], on the tape.
func (o Output) logits(temperature float64) tensor.Tensor {
	return tensor.Scale(tensor.Logits(o.Hidden, o.model.Head), o.inverse(temperature))
}

// inverse returns 1/temperature with the rounding of the sampler, which reads the
// temperature from an F32 buffer.
func (o Output) inverse(temperature float64) float64 {
	temperature = cmp.Or(temperature, 1)
	if temperature < 0 {
		panic(fmt.Sprintf("model: Score at temperature %g", temperature))
	}
	if o.Hidden.DType().Compute() == backend.F32 {
		temperature = float64(float32(temperature))
	}
	return 1 / temperature
}
