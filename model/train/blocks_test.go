package train

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/moe"
)

// rowwise is a block without attention, of one projection and MoE layers with 4, 8, …
// experts. Rows do not depend on each other, and there is nothing to cache.
type rowwise struct {
	norm    *tensor.Param
	linear  *tensor.Linear
	experts []*moe.MoE
	scores  func([]tensor.Tensor) []tensor.Tensor // changes the scores that Forward returns; nil returns all
}

func newRowwise(gates int, scores func([]tensor.Tensor) []tensor.Tensor) model.NewBlock {
	return func(ps *tensor.Params, c model.Config, l int, _ tensor.Angles, _ model.Options) model.Block {
		name, d := fmt.Sprintf("rowwise.%d", l), c.HiddenSize
		b := &rowwise{norm: ps.Gain(name+".norm.weight", d), scores: scores}
		b.linear = tensor.NewLinear(ps, name+".linear", d, d, true)
		for i := range gates {
			b.experts = append(b.experts, moe.New(ps, fmt.Sprintf("%s.moe.%d", name, i),
				moe.Config{Hidden: d, Intermediate: 16, Experts: 4 * (i + 1), TopK: 2, Bias: true}))
		}
		return b
	}
}

func (b *rowwise) Forward(h tensor.Tensor, _ attention.Rows, _ *attention.Cache) (tensor.Tensor, []tensor.Tensor) {
	h = tensor.Add(h, tensor.GELU(b.linear.Forward(tensor.RMSNorm(h, b.norm, 1e-6))))
	var scores []tensor.Tensor
	for _, m := range b.experts {
		y := m.Forward(h)
		h, scores = tensor.Add(h, y.Y), append(scores, y.Scores)
	}
	if b.scores != nil {
		scores = b.scores(scores)
	}
	return h, scores
}

func (b *rowwise) NewCache(backend.Backend, backend.DType, int) (*attention.Cache, error) {
	return nil, nil
}

func (b *rowwise) Gates() []*moe.Gate {
	var gates []*moe.Gate
	for _, m := range b.experts {
		gates = append(gates, m.Gate)
	}
	return gates
}

func (b *rowwise) Linears() []*tensor.Linear { return []*tensor.Linear{b.linear} }

func newRowwiseModel(t testing.TB, o model.Options) *model.Model {
	t.Helper()
	c := small()
	c.NumNextNPredictLayers = 1
	m, err := model.NewWith(newCPU(t), c, 7, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each gate of a block has metrics and a bias of its own, and a generator, which has
// nothing to cache, gives the log-probabilities of training bit for bit.
func TestBlocksWithoutAttentionAndAnyNumberOfGates(t *testing.T) {
	for _, o := range []model.Options{{}, {Precision: backend.BF16}, {RoundKV: true}} {
		for gates := range 3 {
			o.Block = newRowwise(gates, nil)
			var weights []string
			for _, recompute := range []bool{false, true} {
				m := newRowwiseModel(t, o)
				m.Recompute = recompute
				tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: Muon{LR: 1e-2}, BalanceAlpha: 1e-2}
				got := mustStep(t, tr, randomText(4))
				checkGates(t, got, m, gates)
				weights = append(weights, sum(t, tr))
				checkRollout(t, m)
				tr.Close()
			}
			if weights[0] != weights[1] {
				t.Errorf("%d gates, %+v: the weights with recomputation differ", gates, o)
			}
		}
	}
}

// checkGates compares the metrics of a step with the gates of m's two layers and of the MTP
// module, and checks that each bias changed.
func checkGates(t *testing.T, got Metrics, m *model.Model, gates int) {
	t.Helper()
	if want := 3 * gates; len(got.Loads) != want {
		t.Errorf("loads of %d gates, want %d: %v", len(got.Loads), want, got.Loads)
	}
	for layer := range 3 {
		for i := range gates {
			load, ok := got.Loads[MetricLoad(layer, i)]
			if want := 4 * (i + 1); len(load) != want {
				t.Errorf("gate %d of layer %d has the load %v, want that of %d experts", i, layer, load, want)
			}
			if v := got.Values[MetricMaxVio(layer, i)]; !ok || v != moe.MaxVio(load) {
				t.Errorf("gate %d of layer %d: maxvio is %g, want %g", i, layer, v, moe.MaxVio(load))
			}
		}
	}
	all, layers := m.Gates()
	for i, g := range all {
		moved := false
		for _, v := range mustFloats(t, g.Bias) {
			moved = moved || v != 0
		}
		if !moved {
			t.Errorf("a bias of layer %d did not change", layers[i])
		}
	}
}

// checkRollout compares the log-probabilities of a completion with those of a forward.
func checkRollout(t *testing.T, m *model.Model) {
	t.Helper()
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer gen.Close()
	prompt := []int32{1, 2}
	request := model.Request{Prompt: prompt, MaxTokens: 6, Stop: []int32{}, Seed: 5}
	out, err := gen.Generate(t.Context(), []model.Request{request, request, {Prompt: []int32{3}, MaxTokens: 9}})
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: append(prompt, out[0].Tokens...)}}
	b := m.NewBatch(s, seqs, model.Totals(seqs))
	want, err := m.Forward(s, b).LogProbs(b.Targets).Values()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out[0].LogProbs {
		if v != want[i+1] {
			t.Errorf("log-probability of token %d: %v, in training %v", i, v, want[i+1])
		}
	}
}

func TestScoresOfOtherGatesThanTheBlockHasPanic(t *testing.T) {
	for want, scores := range map[string]func(all []tensor.Tensor) []tensor.Tensor{
		"*train.rowwise.Forward returned the scores of 3 gates, but Gates lists 2": func(
			all []tensor.Tensor,
		) []tensor.Tensor {
			return append(all, all[0])
		},
		"*train.rowwise.Forward returned the scores of 0 gates, but Gates lists 2": func([]tensor.Tensor) []tensor.Tensor {
			return nil
		},
	} {
		m := newRowwiseModel(t, model.Options{Block: newRowwise(2, scores)})
		for _, grad := range []bool{false, true} {
			func() {
				s := tensor.NewScope(m.Backend(), tensor.Options{Grad: grad, Trained: m.Params})
				defer s.Close()
				defer func() {
					if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
						t.Errorf("panic %q, want %q", p, want)
					}
				}()
				seqs := []model.Sequence{{IDs: []int32{0, 1, 2}}}
				m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs)))
			}()
		}
	}
}

// Custom blocks are saved under their parameter names, and a model with the same blocks can
// load them.
func TestOwnBlocksAreSavedUnderTheirNames(t *testing.T) {
	o := model.Options{Block: newRowwise(2, nil)}
	m := newRowwiseModel(t, o)
	dir := filepath.Join(t.TempDir(), "own")
	if err := model.Save(dir, m, model.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	again, source, err := model.Load(m.Backend(), dir, model.LoadOptions{Options: o})
	if err != nil || len(source.Unclaimed) > 0 {
		t.Fatalf("unclaimed %v, error %v", source, err)
	}
	var files [2]bytes.Buffer
	for i, x := range []*model.Model{m, again} {
		if err := checkpoint.Write(&files[i], checkpoint.Tensors(x.Params.All()), nil); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("the loaded model has other weights")
	}
	_, _, err = model.Load(m.Backend(), dir, model.LoadOptions{})
	if want := `tensor "model.layers.0.input_layernorm.weight": no such tensor`; !says(err, want) {
		t.Errorf("without the blocks: %v, want %s", err, want)
	}
}

// In custom blocks, the kind of a parameter decides whether it becomes FP8: a matrix does,
// a router does not.
func TestOwnBlocksAreSavedInFP8(t *testing.T) {
	m := newRowwiseModel(t, model.Options{Block: newRowwise(2, nil)})
	dir := filepath.Join(t.TempDir(), "own")
	if err := model.Save(dir, m, model.SaveOptions{DType: checkpoint.F8E4M3}); err != nil {
		t.Fatal(err)
	}
	r, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, rows := range checkpoint.ParamRows(m.Params.All()) {
		info, ok := r.Find(rows.Name)
		quantised := rows.Kind == tensor.KindMatrix || rows.Kind == tensor.KindExperts
		if !ok || quantised != (info.DType == checkpoint.F8E4M3) {
			t.Errorf("%s of kind %s is saved as %q", rows.Name, rows.Kind, info.DType)
		}
	}
}

// A block that is used as two layers has one bias, which moves once per step, by the load
// of both layers.
func TestAGateThatLayersShareMovesOnce(t *testing.T) {
	var block model.Block
	c := small()
	c.NumNextNPredictLayers = 0
	m, err := model.NewWith(newCPU(t), c, 7, model.Options{
		Block: func(ps *tensor.Params, c model.Config, l int, a tensor.Angles, o model.Options) model.Block {
			if block == nil {
				block = newRowwise(1, nil)(ps, c, l, a, o)
			}
			return block
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-2}, BiasRate: func(int, int64) float64 { return 0.5 }}
	defer tr.Close()
	got := mustStep(t, tr, randomText(4))
	load, rows := got.Loads[MetricLoad(0, 0)], 0
	for _, q := range mustBatch(t, randomText(4), 0) {
		rows += q.Rows()
	}
	total := 0
	for _, n := range load {
		total += n
	}
	if want := 2 * 2 * rows; len(got.Loads) != 1 || total != want { // 2 layers, 2 experts per row
		t.Errorf("loads %v, want one of %d assignments", got.Loads, want)
	}
	for i, v := range mustFloats(t, block.Gates()[0].Bias) {
		if v != 0 && v != 0.5 && v != -0.5 {
			t.Errorf("bias %d is %g after one step of 0.5", i, v)
		}
	}
}
