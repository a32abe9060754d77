package mtp

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/model"
)

// tokens returns n tokens whose ids are consecutive, starting at first.
func tokens(first, n int32) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = first + int32(i)
	}
	return ids
}

// depths returns the alignments of depths 1 to d, computed one from the other as in Loss.
func depths(b model.Batch, d int) []alignment {
	prev := lengths(b.Host)
	var all []alignment
	for k := 1; k <= d; k++ {
		a := align(b, k, prev)
		all = append(all, a)
		prev = a.lengths
	}
	return all
}

func compare(t *testing.T, got, want []alignment) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(alignment{})); d != "" {
		t.Errorf("alignment differs (-want +got):\n%s", d)
	}
}

// The expected values are those of torchtitan's table for a window t0…t6: the main model
// reads t0…t5 and predicts t1…t6, depth 1 reads t1…t5 and predicts t2…t6, depth 2 reads
// t2…t5 and predicts t3…t6.
func TestAlignmentOfAWindow(t *testing.T) {
	b := model.Batch{Host: []model.Sequence{{IDs: tokens(0, 7)}}, Norm: 2}
	compare(t, depths(b, 2), []alignment{
		{lengths: []int{5}, keep: []int32{0, 1, 2, 3, 4}, ids: []int32{1, 2, 3, 4, 5}, targets: []int32{2, 3, 4, 5, 6},
			weight: []float64{.5, .5, .5, .5, .5}},
		{lengths: []int{4}, keep: []int32{0, 1, 2, 3}, ids: []int32{2, 3, 4, 5}, targets: []int32{3, 4, 5, 6},
			weight: []float64{.5, .5, .5, .5}},
	})
}

// Sequences of 2, 4, 3 and 6 tokens have 1, 3, 2 and 5 rows in the main model.
// Each loses its last row at each depth and disappears when none is left.
func TestAlignmentOfPackedSequences(t *testing.T) {
	b := model.Batch{Host: []model.Sequence{{IDs: tokens(10, 2)}, {IDs: tokens(20, 4)}, {IDs: tokens(30, 3)},
		{IDs: tokens(40, 6)}}, Norm: 1}
	ones := func(n int) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = 1
		}
		return w
	}
	compare(t, depths(b, 5), []alignment{
		{ // rows of the main model: 0 | 1 2 3 | 4 5 | 6 7 8 9 10
			lengths: []int{2, 1, 4}, keep: []int32{1, 2, 4, 6, 7, 8, 9},
			ids: []int32{21, 22, 31, 41, 42, 43, 44}, targets: []int32{22, 23, 32, 42, 43, 44, 45}, weight: ones(7),
		},
		{ // rows of depth 1: 0 1 | 2 | 3 4 5 6
			lengths: []int{1, 3}, keep: []int32{0, 3, 4, 5},
			ids: []int32{22, 42, 43, 44}, targets: []int32{23, 43, 44, 45}, weight: ones(4),
		},
		{lengths: []int{2}, keep: []int32{1, 2}, ids: []int32{43, 44}, targets: []int32{44, 45}, weight: ones(2)},
		{lengths: []int{1}, keep: []int32{0}, ids: []int32{44}, targets: []int32{45}, weight: ones(1)},
		{},
	})
}

// A target has the same weight at every depth as in the main loss. A masked target stays
// masked, but is still read as an input.
func TestTargetsKeepTheirWeights(t *testing.T) {
	b := model.Batch{Host: []model.Sequence{{IDs: tokens(0, 6), Weight: []float32{1, 2, 0, 4, 5}}}, Norm: 10}
	compare(t, depths(b, 2), []alignment{
		{lengths: []int{4}, keep: []int32{0, 1, 2, 3}, ids: []int32{1, 2, 3, 4}, targets: []int32{2, -1, 4, 5},
			weight: []float64{.2, 0, .4, .5}},
		{lengths: []int{3}, keep: []int32{0, 1, 2}, ids: []int32{2, 3, 4}, targets: []int32{-1, 4, 5},
			weight: []float64{0, .4, .5}},
	})
}

func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		tokens int64
		want   float64
	}{{0, 0.3}, {9_999_999_999_999, 0.3}, {10_000_000_000_000, 0.1}, {14_800_000_000_000, 0.1}} {
		if got := V3LambdaSchedule.At(c.tokens); got != c.want {
			t.Errorf("λ after %d tokens: %v, want %v", c.tokens, got, c.want)
		}
	}
	if got := (LambdaSchedule{Early: 1}).At(0); got != 0 {
		t.Errorf("a schedule that switches at 0 begins with %v", got)
	}
}
