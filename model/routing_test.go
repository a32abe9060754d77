package model_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
	"github.com/aha-go/aha/model"
)

// routed is small with two MoE layers.
func routed() model.Config {
	c := small()
	c.NumHiddenLayers, c.NumNextNPredictLayers = 3, 0
	return c
}

func newRouted(t testing.TB, b backend.Backend, o model.Options) *model.Model {
	t.Helper()
	m, err := model.NewWith(b, routed(), 11, o)
	must(t, err)
	t.Cleanup(m.Free)
	return m
}

// chosen returns the experts that the gates of m choose for seqs.
func chosen(t testing.TB, m *model.Model, seqs []model.Sequence) [][]uint16 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	b := m.NewBatch(s, seqs, model.Totals(seqs))
	m.RecordExperts(&b)
	m.Forward(s, b)
	out, err := m.ChosenExperts(b)
	must(t, err)
	return out
}

// randomExperts sets random experts for each row of seqs.
func randomExperts(rng *rand.Rand, m *model.Model, seqs []model.Sequence) []model.Sequence {
	seqs = slices.Clone(seqs)
	gates, _ := m.Gates()
	for i := range seqs {
		for range seqs[i].Rows() {
			for _, g := range gates {
				e, k := g.Shape()
				row := rng.Perm(e)[:k]
				slices.Sort(row)
				for _, id := range row {
					seqs[i].Experts = append(seqs[i].Experts, uint16(id))
				}
			}
		}
	}
	return seqs
}

// The record equals the experts of the forward's MoEGate ops.
func TestRecordedExpertsAreThoseOfTheGates(t *testing.T) {
	b := &router{Decorator: backend.Decorator{Backend: open(t)}}
	m := newRouted(t, b, model.Options{})
	seqs := smallSequences()
	got := chosen(t, m, seqs)
	if len(b.chosen) != 2 || m.ExpertsPerRow() != 4 {
		t.Fatalf("%d gates ran, %d experts a row", len(b.chosen), m.ExpertsPerRow())
	}
	at := 0
	for i, q := range seqs {
		for row := range q.Rows() {
			for gate, all := range b.chosen {
				for j := range 2 {
					if id := got[i][(row*2+gate)*2+j]; float64(id) != all[at*2+j] {
						t.Errorf("sequence %d, row %d, gate %d: expert %d, want %g", i, row, gate, id, all[at*2+j])
					}
				}
			}
			at++
		}
	}
}

// The record of a completion equals the choice of training's forward, whatever other
// requests share a prompt, a slot or a step.
func TestCompletionsRecordTheExpertsOfTraining(t *testing.T) {
	const seed = 43
	t.Log("seed", seed)
	reqs := randomRequests(seed, 12)
	for _, at := range []int{3, 4, 5, 9} { // consecutive requests that share a prompt
		reqs[at].Prompt = reqs[2].Prompt
	}
	reqs[10].Prompt = reqs[9].Prompt
	for _, o := range []model.Options{{}, {Absorbed: true}, {DType: backend.F64}, {Precision: backend.BF16}} {
		m := newRouted(t, open(t), o)
		var alone []model.Completion
		for _, slots := range []int{1, 3, 12} {
			outs := complete(t, m, model.GeneratorOptions{Slots: slots, MaxLen: 40, PrefillRows: 20, Experts: true}, reqs)
			var seqs []model.Sequence
			for i, out := range outs {
				seqs = append(seqs, model.Sequence{IDs: append(slices.Clone(reqs[i].Prompt), out.Tokens...)})
				must(t, m.CheckExperts(seqs[i].Rows(), out.Experts))
			}
			for i, want := range chosen(t, m, seqs) {
				if !slices.Equal(outs[i].Experts, want) {
					t.Errorf("%+v, %d slots: the experts of completion %d differ from training's", o, slots, i)
				}
			}
			if alone == nil {
				alone = outs
			}
			for i := range outs {
				if !same(outs[i], alone[i]) {
					t.Errorf("%+v, %d slots: completion %d differs", o, slots, i)
				}
			}
		}
		plain := complete(t, m, model.GeneratorOptions{Slots: 3, MaxLen: 40, PrefillRows: 20}, reqs)
		for i := range plain {
			if !same(plain[i], alone[i]) || plain[i].Experts != nil {
				t.Errorf("%+v: completion %d without a record differs, or has one", o, i)
			}
		}
	}
}

// replayed returns the loss of seqs, its gradients and the loads of the gates.
func replayed(t testing.TB, m *model.Model, micro [][]model.Sequence, g model.Global) (
	loss float64, grads map[string][]float64, loads [][]int) {
	t.Helper()
	must(t, m.Params.ZeroGrad())
	gates, _ := m.Gates()
	for _, g := range gates {
		must(t, g.ResetLoad())
	}
	for _, seqs := range micro {
		loss += backward(t, m, nil, seqs, g)
	}
	for _, g := range gates {
		load, err := g.Load()
		must(t, err)
		loads = append(loads, load)
	}
	return loss, gradients(t, m), loads
}

// If a model is given the experts that its gates choose, its results keep their bits.
func TestReplayOfOnesOwnChoiceChangesNoBit(t *testing.T) {
	for _, o := range []model.Options{{}, {Absorbed: true}, {DType: backend.F64}, {Precision: backend.BF16}} {
		m := newRouted(t, open(t), o)
		seqs := smallSequences()
		given := slices.Clone(seqs)
		for i, experts := range chosen(t, m, seqs) {
			given[i].Experts = experts
		}
		g := model.Totals(seqs)
		loss, grads, loads := replayed(t, m, [][]model.Sequence{seqs}, g)
		again, regrads, reloads := replayed(t, m, [][]model.Sequence{given}, g)
		if loss != again || difference(grads, regrads) != 0 || fmt.Sprint(loads) != fmt.Sprint(reloads) {
			t.Errorf("%+v: the loss is %v, replayed %v; gradients differ by %g; loads %v, %v", o, loss, again,
				difference(grads, regrads), loads, reloads)
		}
	}
}

// With experts that the gates would not choose, results have the same bits with and without
// recomputation, and agree within 1e-9 (F64) if the micro-batches are split differently.
// Loads count the given experts, and the record holds the choice of the gates.
func TestReplayInPartsAndRecomputed(t *testing.T) {
	const seed = 7
	t.Log("seed", seed)
	m := newRouted(t, open(t), model.Options{DType: backend.F64})
	plain := smallSequences()
	seqs := randomExperts(rand.New(rand.NewPCG(seed, 0)), m, plain)
	g := model.Totals(seqs)
	own, _, _ := replayed(t, m, [][]model.Sequence{plain}, g)
	loss, grads, loads := replayed(t, m, [][]model.Sequence{seqs}, g)
	if own == loss {
		t.Error("the given experts do not change the loss")
	}
	count := [][]int{make([]int, 8), make([]int, 8)}
	for _, q := range seqs {
		for i, id := range q.Experts {
			count[i/2%2][id]++
		}
	}
	if fmt.Sprint(loads) != fmt.Sprint(count) {
		t.Errorf("loads %v, want %v", loads, count)
	}
	m.Recompute = true
	again, regrads, reloads := replayed(t, m, [][]model.Sequence{seqs}, g)
	m.Recompute = false
	if loss != again || difference(grads, regrads) != 0 || fmt.Sprint(loads) != fmt.Sprint(reloads) {
		t.Errorf("recomputed, the loss is %v, not %v; gradients differ by %g", again, loss, difference(grads, regrads))
	}
	split, parts, reloads := replayed(t, m, [][]model.Sequence{seqs[:1], seqs[1:]}, g)
	if d := split - loss; d > 1e-9 || d < -1e-9 || difference(grads, parts) > 1e-9 ||
		fmt.Sprint(loads) != fmt.Sprint(reloads) {
		t.Errorf("in parts, the loss is %v, not %v; gradients differ by %g", split, loss, difference(grads, parts))
	}
	first, all := chosen(t, m, seqs), chosen(t, m, plain)
	for i := range seqs {
		for row := range seqs[i].Rows() { // the first gate has the same inputs as without replay
			if at := row * 4; !slices.Equal(first[i][at:at+2], all[i][at:at+2]) {
				t.Errorf("sequence %d, row %d: the first gate would choose %v, want %v", i, row, first[i][at:at+2],
					all[i][at:at+2])
			}
		}
	}
}

// The whole gradient at given experts, including that of the routers, equals central
// differences.
func TestGradientsAtGivenExpertsEqualFiniteDifferences(t *testing.T) {
	const seed = 8
	t.Log("seed", seed)
	for _, recompute := range []bool{false, true} {
		m := newRouted(t, open(t), model.Options{DType: backend.F64})
		m.Recompute = recompute
		seqs := randomExperts(rand.New(rand.NewPCG(seed, 0)), m, smallSequences())
		g := model.Totals(seqs)
		o := gradtest.Options{Samples: 20, Seed: seed}
		var params []*tensor.Param
		for _, p := range m.Params.All() {
			if strings.HasSuffix(p.Name, "e_score_correction_bias") {
				o.NoGrad = append(o.NoGrad, p)
			} else {
				params = append(params, p)
			}
		}
		gradtest.Check(t, params, func(s *tensor.Scope) tensor.Tensor {
			b := m.NewBatch(s, seqs, g)
			return tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, m.Forward(s, b).LogProbs(b.Targets))))
		}, o)
		_, grads, _ := replayed(t, m, [][]model.Sequence{seqs}, g)
		for _, name := range []string{"model.layers.1.mlp.gate.weight", "model.layers.2.mlp.gate.weight"} {
			if norm(grads[name]) == 0 {
				t.Errorf("%s has no gradient", name)
			}
		}
	}
}

// The gates of a Drafter choose by themselves, whatever experts the model's gates are
// given.
func TestReplayLeavesTheDrafterAlone(t *testing.T) {
	b := &router{Decorator: backend.Decorator{Backend: open(t)}}
	m, d := newSmall(t, b, model.Options{DType: backend.F64})
	seqs := smallSequences()
	for i, experts := range chosen(t, m, seqs) {
		seqs[i].Experts = experts
	}
	losses := map[bool]float64{}
	for _, given := range []bool{true, false} {
		if !given {
			for i := range seqs {
				seqs[i].Experts = nil
			}
		}
		losses[given] = backward(t, m, d, seqs, model.Totals(seqs))
	}
	if losses[true] != losses[false] {
		t.Errorf("losses %v", losses)
	}
}

func TestBadRecordsOfExpertsAreNamed(t *testing.T) {
	m := newRouted(t, open(t), model.Options{})
	good := []uint16{0, 1, 2, 3, 4, 5, 6, 7}
	must(t, m.CheckExperts(2, good))
	for want, experts := range map[string][]uint16{
		"7 experts for 2 rows, want 4 of each row":           good[:7],
		"row 1, layer 2: expert 8, gate 1 has 8":             {0, 1, 2, 3, 4, 5, 6, 8},
		"row 0, layer 2: experts [3 3], want ascending ones": {0, 1, 3, 3, 4, 5, 6, 7},
		"row 1, layer 1: experts [5 4], want ascending ones": {0, 1, 2, 3, 5, 4, 6, 7},
		"0 experts for 2 rows":                               {},
		"row 0, layer 1: expert 65535, gate 0 has 8":         {0, 65535, 2, 3, 4, 5, 6, 7},
	} {
		err := m.CheckExperts(2, experts)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		mustPanic(t, "NewBatch: sequence 0: "+want, func() {
			s := tensor.NewScope(m.Backend(), tensor.Options{})
			defer s.Close()
			seqs := []model.Sequence{{IDs: []int32{1, 2, 3}, Experts: experts}}
			m.NewBatch(s, seqs, model.Totals(seqs))
		})
	}
	mustPanic(t, "of sequences 0 and 1 one has Experts and the other has none", func() {
		s := tensor.NewScope(m.Backend(), tensor.Options{})
		defer s.Close()
		seqs := []model.Sequence{{IDs: []int32{1, 2, 3}, Experts: good}, {IDs: []int32{1, 2}}}
		m.NewBatch(s, seqs, model.Totals(seqs))
	})

	c := small()
	c.FirstKDenseReplace, c.NumNextNPredictLayers = c.NumHiddenLayers, 0
	dense, err := model.New(m.Backend(), c, 1)
	must(t, err)
	defer dense.Free()
	for want, of := range map[string]struct {
		m *model.Model
		o model.GeneratorOptions
	}{
		"GeneratorOptions.Experts: the model has no experts": {dense, model.GeneratorOptions{Experts: true}},
		"GeneratorOptions.Experts is set with Reuse":         {m, model.GeneratorOptions{Experts: true, Reuse: true}},
	} {
		if _, err := model.NewGenerator(of.m, of.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// twice is a Layer that runs twice in a forward.
type twice struct{ *model.Layer }

func (b twice) Forward(h tensor.Tensor, rows attention.Rows, cache *attention.Cache) (tensor.Tensor, []tensor.Tensor) {
	h, _ = b.Layer.Forward(h, rows, cache)
	return b.Layer.Forward(h, rows, cache)
}

func TestAGateThatIsUsedTwiceHasNoRecord(t *testing.T) {
	m, err := model.NewWith(open(t), routed(), 1, model.Options{
		Block: func(ps *tensor.Params, c model.Config, l int, angles tensor.Angles, o model.Options) model.Block {
			return twice{model.NewLayer(ps, c, l, angles, o)}
		},
	})
	must(t, err)
	defer m.Free()
	mustPanic(t, "model: model_test.twice.Forward used gate 0 of 1 2 times", func() { chosen(t, m, smallSequences()) })
}

func mustPanic(t *testing.T, want string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := fmt.Sprint(recover()); !strings.Contains(r, want) {
			t.Errorf("panic %q, want %q", r, want)
		}
	}()
	fn()
}
