package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// randomSequences returns seeded sequences of the given numbers of tokens below 20. Every
// other one has weights, some of which are 0.
func randomSequences(seed uint64, lengths ...int) []model.Sequence {
	rng := rand.New(rand.NewPCG(seed, 0))
	var seqs []model.Sequence
	for i, n := range lengths {
		q := model.Sequence{IDs: randomTokens(rng, n)}
		for range i % 2 * (n - 1) {
			q.Weight = append(q.Weight, float32(rng.IntN(4)))
		}
		seqs = append(seqs, q)
	}
	return seqs
}

func randomTokens(rng *rand.Rand, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = rng.Int32N(20)
	}
	return ids
}

// logProbs returns the log-probabilities of all targets of seqs.
func logProbs(t testing.TB, m *model.Model, seqs []model.Sequence, grad bool) []float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{Grad: grad})
	defer s.Close()
	b := m.NewBatch(s, seqs, model.Totals(seqs))
	v, err := m.Forward(s, b).LogProbs(b.Targets).Values()
	must(t, err)
	return v
}

// difference returns the largest ‖a−b‖/‖b‖ of any entry.
func difference(a, b map[string][]float64) (worst float64) {
	for name, want := range b {
		diff := 0.0
		for i, w := range want {
			diff = math.Hypot(diff, a[name][i]-w)
		}
		if diff > 0 {
			worst = max(worst, diff/norm(want))
		}
	}
	return worst
}

// Splitting a batch into micro-batches keeps the bits of the log-probabilities, and changes
// losses and gradients only by rounding.
func TestMicroBatchingChangesNothing(t *testing.T) {
	b := open(t)
	const seed = 31
	t.Log("seed", seed)
	seqs := randomSequences(seed, 9, 2, 17, 5, 3, 12)
	total := model.Totals(seqs)
	for _, c := range []struct {
		dt        backend.DType
		tolerance float64
	}{{backend.F64, 1e-13}, {backend.F32, 1e-5}} {
		m, d := newSmall(t, b, model.Options{DType: c.dt})
		want := backward(t, m, d, seqs, total)
		whole, lp := gradients(t, m), logProbs(t, m, seqs, true)
		for _, rows := range []int{1, 10, 20} {
			m, d := newSmall(t, b, model.Options{DType: c.dt})
			got := 0.0
			var parts []float64
			for _, micro := range model.MicroBatches(seqs, rows) {
				got += backward(t, m, d, micro, total)
				parts = append(parts, logProbs(t, m, micro, true)...)
			}
			if !slices.Equal(parts, lp) {
				t.Errorf("%s, %d rows: other log-probabilities", c.dt, rows)
			}
			if math.Abs(got-want) > c.tolerance*math.Abs(want) {
				t.Errorf("%s, %d rows: loss %v, want %v", c.dt, rows, got, want)
			}
			if e := difference(gradients(t, m), whole); !(e <= c.tolerance) {
				t.Errorf("%s, %d rows: gradients off by %.2e", c.dt, rows, e)
			}
		}
	}
}

func TestMicroBatchesKeepOrderAndBound(t *testing.T) {
	seqs := randomSequences(1, 4, 2, 9, 3, 3, 2) // these have 3 1 8 2 2 1 rows
	for _, c := range []struct {
		rows int
		want []int // number of sequences in each micro-batch
	}{{0, []int{6}}, {1, []int{1, 1, 1, 1, 1, 1}}, {4, []int{2, 1, 2, 1}}, {5, []int{2, 1, 3}}, {17, []int{6}}} {
		var got []int
		var all []model.Sequence
		for _, micro := range model.MicroBatches(seqs, c.rows) {
			got = append(got, len(micro))
			all = append(all, micro...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("at most %d rows: %v sequences, want %v", c.rows, got, c.want)
		}
		if !slices.EqualFunc(all, seqs, func(a, b model.Sequence) bool { return slices.Equal(a.IDs, b.IDs) }) {
			t.Errorf("at most %d rows: the sequences are not the same", c.rows)
		}
	}
	if got := model.MicroBatches(nil, 4); len(got) != 0 {
		t.Errorf("%d micro-batches of nothing", len(got))
	}
}

// Recomputation keeps the bits of the loss, of every gradient, and of the counted loads.
func TestRecomputeChangesNoBit(t *testing.T) {
	b := open(t)
	const seed = 32
	t.Log("seed", seed)
	seqs := randomSequences(seed, 9, 2, 17, 5)
	for _, o := range []model.Options{{}, {DType: backend.F64}, {Absorbed: true}, {Precision: backend.BF16},
		{RoundKV: true}} {
		var losses []float64
		var grads []map[string][]float64
		var loads [][]int
		for _, recompute := range []bool{false, true} {
			m, d := newSmall(t, b, o)
			m.Recompute = recompute
			losses = append(losses, backward(t, m, d, seqs, model.Totals(seqs)))
			grads = append(grads, gradients(t, m))
			gates, _ := m.Gates()
			load, err := gates[0].Load()
			must(t, err)
			loads = append(loads, load)
		}
		if losses[0] != losses[1] {
			t.Errorf("%+v: loss %v, recomputed %v", o, losses[0], losses[1])
		}
		for name, g := range grads[0] {
			if !slices.Equal(g, grads[1][name]) {
				t.Errorf("%+v: %s: another gradient", o, name)
			}
		}
		if !slices.Equal(loads[0], loads[1]) {
			t.Errorf("%+v: loads %v, recomputed %v", o, loads[0], loads[1])
		}
	}
}

// The two forms of MLA agree up to rounding, in values and gradients.
func TestAbsorbedEqualsNaive(t *testing.T) {
	b := open(t)
	const seed = 33
	t.Log("seed", seed)
	seqs := randomSequences(seed, 9, 2, 17, 5)
	for _, c := range []struct {
		dt        backend.DType
		tolerance float64
	}{{backend.F64, 1e-10}, {backend.F32, 1e-4}} {
		naive, d := newSmall(t, b, model.Options{DType: c.dt})
		absorbed, e := newSmall(t, b, model.Options{DType: c.dt, Absorbed: true})
		backward(t, naive, d, seqs, model.Totals(seqs))
		backward(t, absorbed, e, seqs, model.Totals(seqs))
		all := func(m *model.Model) map[string][]float64 {
			g := gradients(t, m)
			g["log-probabilities"] = logProbs(t, m, seqs, false)
			return g
		}
		if off := difference(all(absorbed), all(naive)); !(off <= c.tolerance) || off == 0 {
			t.Errorf("%s: the forms differ by %.2e, want at most %.0e but not 0, "+
				"since they sum in different orders", c.dt, off, c.tolerance)
		}
	}
}

// Losses, gradients and completions have the same bits with one thread and with several.
func TestThreadsChangeNoBit(t *testing.T) {
	for _, o := range []model.Options{{}, {Precision: backend.BF16}} {
		t.Run(o.Precision.String(), func(t *testing.T) { testThreads(t, o) })
	}
}

func testThreads(t *testing.T, o model.Options) {
	const seed = 34
	t.Log("seed", seed)
	seqs := randomSequences(seed, 40, 2, 170, 75, 3)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var losses []float64
	var grads []map[string][]float64
	var texts []string
	for _, threads := range []int{1, 2, 3} {
		runtime.GOMAXPROCS(threads)
		b, err := backend.Open("cpu")
		must(t, err)
		cfg := model.Tiny(32)
		m, err := model.NewWith(b, cfg, 4, o)
		must(t, err)
		d, err := mtp.New(m)
		must(t, err)
		losses = append(losses, backward(t, m, d, seqs, model.Totals(seqs)))
		grads = append(grads, gradients(t, m))
		texts = append(texts, fmt.Sprint(complete(t, m, model.GeneratorOptions{Slots: 6}, randomRequests(seed, 8))))
		m.Free()
		b.Close()
	}
	for i := range losses {
		if losses[i] != losses[0] || texts[i] != texts[0] {
			t.Errorf("loss %v with one thread, %v with %d; completions equal: %v", losses[0], losses[i], i+1,
				texts[i] == texts[0])
		}
		for name, g := range grads[0] {
			if !slices.Equal(g, grads[i][name]) {
				t.Errorf("%s: another gradient with %d threads", name, i+1)
			}
		}
	}
}

// A sequence has the same bits whatever else is in the batch and in whatever order.
func TestSequencesDoNotInfluenceEachOther(t *testing.T) {
	b := open(t)
	const seed = 35
	t.Log("seed", seed)
	seqs := randomSequences(seed, 9, 2, 17, 5, 70)
	for _, absorbed := range []bool{false, true} {
		m, _ := newSmall(t, b, model.Options{Absorbed: absorbed})
		together := logProbs(t, m, seqs, true)
		var alone []float64
		for _, q := range seqs {
			alone = append(alone, logProbs(t, m, []model.Sequence{q}, false)...)
		}
		if !slices.Equal(together, alone) {
			t.Errorf("absorbed %v: a sequence has different log-probabilities when it is alone", absorbed)
		}
	}
}

// A token does not affect the rows before it.
func TestForwardIsCausal(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	q := randomSequences(36, 30)[0]
	before := logProbs(t, m, []model.Sequence{q}, false)
	const at = 13
	q.IDs = slices.Clone(q.IDs)
	q.IDs[at] = (q.IDs[at] + 1) % 20
	after := logProbs(t, m, []model.Sequence{q}, false)
	if !slices.Equal(before[:at-1], after[:at-1]) { // row at−1 predicts token at, so only its target changes
		t.Error("a token changes the predictions before it")
	}
	for i := at - 1; i < len(before); i++ {
		if before[i] == after[i] {
			t.Errorf("the prediction of token %d does not depend on token %d", i+1, at)
		}
	}
}

func TestMaskedTargetsHaveNoLoss(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{DType: backend.F64})
	q := randomSequences(37, 8)[0]
	full := logProbs(t, m, []model.Sequence{q}, false)
	q.Weight = []float32{1, 0, 2, 1, 0, 0, 1}
	masked := logProbs(t, m, []model.Sequence{q}, false)
	for i, w := range q.Weight {
		want := full[i]
		if w == 0 {
			want = 0
		}
		if masked[i] != want {
			t.Errorf("row %d of weight %v: %v, want %v", i, w, masked[i], want)
		}
	}
	if got := model.Totals([]model.Sequence{q, {IDs: q.IDs}}); got != (model.Global{Weight: 5 + 7, Sequences: 2}) {
		t.Errorf("totals %+v, want 12 and 2", got)
	}
}

func TestImpossibleSequencesPanicWithTheirNumber(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	fine := model.Sequence{IDs: []int32{1, 2}}
	for name, q := range map[string]model.Sequence{
		"one token":     {IDs: []int32{1}},
		"short weights": {IDs: []int32{1, 2, 3}, Weight: []float32{1}},
		"too long":      {IDs: make([]int32, m.Config.MaxPositionEmbeddings+2)},
	} {
		t.Run(name, func(t *testing.T) {
			s := tensor.NewScope(b, tensor.Options{})
			defer s.Close()
			defer func() {
				if r, ok := recover().(string); !ok || !strings.Contains(r, "sequence 1") {
					t.Errorf("panic %q, want one that names sequence 1", r)
				}
			}()
			m.NewBatch(s, []model.Sequence{fine, q}, model.Global{Weight: 1, Sequences: 2})
		})
	}
}
