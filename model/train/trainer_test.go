package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/moe"
)

func TestSplittingABatchChangesNothing(t *testing.T) {
	data := randomText(6)
	run := func(rows int) (loss []float64, weights [][]float64) {
		m := newModel(t, backend.F64)
		tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: AdamW{LR: 1e-3}, MaxRows: rows, BalanceAlpha: 0.01}
		defer tr.Close()
		for range 3 {
			loss = append(loss, mustStep(t, tr, data).Values["loss"])
		}
		for _, p := range m.Params.All() {
			weights = append(weights, mustFloats(t, p))
		}
		return loss, weights
	}
	wantLoss, want := run(0)
	for _, rows := range []int{1, 20} {
		loss, got := run(rows)
		if d := maxDiff(loss, wantLoss); d > 1e-9 {
			t.Errorf("at most %d rows: losses are %g off", rows, d)
		}
		for i := range want {
			if d := maxDiff(got[i], want[i]); d > 1e-9 {
				t.Errorf("at most %d rows: tensor %d is %g off", rows, i, d)
			}
		}
	}
}

func TestSameSeedGivesTheSameBitsAtAnyGOMAXPROCS(t *testing.T) {
	data := randomText(4)
	for _, o := range []Optimizer{AdamW{LR: 1e-3, WeightDecay: 0.1}, Muon{LR: 1e-3}} {
		var want string
		var wantLoss []float64
		for _, procs := range []int{1, 1, 3} {
			old := runtime.GOMAXPROCS(procs)
			m := newModel(t, backend.F32)
			tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: o, BalanceAlpha: 1e-4, EMADecay: 0.9}
			var loss []float64
			for range 10 {
				loss = append(loss, mustStep(t, tr, data).Values["loss"])
			}
			got := sum(t, tr)
			tr.Close()
			runtime.GOMAXPROCS(old)
			if want == "" {
				want, wantLoss = got, loss
			}
			if got != want || !slices.Equal(loss, wantLoss) {
				t.Errorf("%T, GOMAXPROCS %d: the first ten losses or the weights differ:\n%v\n%v", o, procs, loss, wantLoss)
			}
		}
	}
}

func TestATinyModelLearnsAFewSequencesByHeart(t *testing.T) {
	data := DataFunc(func(int) ([]model.Sequence, error) { return randomText(4)(0) })
	for _, o := range []Optimizer{AdamW{LR: 1e-2}, Muon{LR: 1e-2}} {
		m := newModel(t, backend.F32)
		tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: o, Steps: 80, Schedule: WarmUp(5, Cosine(5, 80, 0.1))}
		first, last := 0.0, Metrics{}
		tr.OnStep = func(x Metrics) {
			if x.Step == 1 {
				first = x.Values["lm_loss"]
			}
			last = x
		}
		if err := tr.Run(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		// Before training, all 32 tokens are about equally likely.
		if math.Abs(first-math.Log(32)) > 0.1 || last.Values["lm_loss"] > 0.15 {
			t.Errorf("%T: loss from %g to %g", o, first, last.Values["lm_loss"])
		}
		tr.Close()
	}
}

func TestStepReportsWhatItDid(t *testing.T) {
	m := newModel(t, backend.F64)
	d := newMTP(t, m)
	tr := &Trainer{Model: m, Drafter: d, Optimizer: AdamW{LR: 0.5}, Schedule: Constant(0.01), BalanceAlpha: 0.1,
		MaxRows: 12}
	data := randomText(4)
	rows := 0
	for step := range 2 {
		now := 0
		for _, q := range mustBatch(t, data, step) {
			now += q.Rows()
		}
		rows += now
		x := mustStep(t, tr, data)
		names := slices.Sorted(maps.Keys(x.Values))
		want := "aux_loss grad_norm learning_rate lm_loss loss moe/1/maxvio moe/2/maxvio mtp_loss num_tokens"
		if got := strings.Join(names, " "); got != want {
			t.Errorf("metrics %s\nwant %s", got, want)
		}
		if x.Step != step+1 || x.Time <= 0 || x.Values["num_tokens"] != float64(rows) || x.Values["learning_rate"] != 0.005 {
			t.Errorf("%+v after %d rows", x, rows)
		}
		parts := x.Values["lm_loss"] + x.Values["mtp_loss"] + x.Values["aux_loss"]
		if math.Abs(parts-x.Values["loss"]) > 1e-12 {
			t.Errorf("the terms sum to %g, the loss is %g", parts, x.Values["loss"])
		}
		load, total := x.Loads["moe/1/load"], 0
		for _, c := range load {
			total += c
		}
		if len(load) != 8 || total != 2*now { // two experts per token
			t.Errorf("load %v of %d rows", load, now)
		}
		if x.Values["moe/1/maxvio"] != moe.MaxVio(load) {
			t.Errorf("maxvio %g of load %v", x.Values["moe/1/maxvio"], load)
		}
		if len(x.Loads) != 2 {
			t.Errorf("loads %v", x.Loads)
		}
	}
}

func TestSelectionBiasesFollowTheLoads(t *testing.T) {
	for _, c := range []struct {
		rate   Schedule
		gamma  float64
		center bool
	}{{nil, 0.001, false}, {Constant(0.25), 0.25, false}, {Constant(0.25), 0.25, true}, {Constant(0), 0, false}} {
		m := newModel(t, backend.F64)
		d := newMTP(t, m)
		tr := &Trainer{Model: m, Drafter: d, Optimizer: AdamW{LR: 1e-3}, BiasRate: c.rate, CenterBias: c.center, MaxRows: 15}
		x := mustStep(t, tr, randomText(4))
		for _, layer := range []int{1, 2} { // the layers of the model and of the MTP module
			bias := mustFloats(t, m.Params.Get(fmt.Sprintf("model.layers.%d.mlp.gate.e_score_correction_bias", layer)))
			load := x.Loads[fmt.Sprintf("moe/%d/load", layer)]
			mean, signs := 0.0, make([]float64, len(load))
			for _, n := range load {
				mean += float64(n) / float64(len(load))
			}
			average := 0.0
			for i, n := range load {
				if float64(n) < mean {
					signs[i] = 1
				} else if float64(n) > mean {
					signs[i] = -1
				}
				average += signs[i] / float64(len(load))
			}
			for i := range signs {
				if c.center {
					signs[i] -= average
				}
				signs[i] *= c.gamma
			}
			if maxDiff(bias, signs) > 1e-15 {
				t.Errorf("rate %g, centered %v, layer %d: load %v changed the bias to %v", c.gamma, c.center, layer, load, bias)
			}
		}
		tr.Close()
	}
}

func TestLossesAndObservationsAreTheCallers(t *testing.T) {
	m := newModel(t, backend.F64)
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}}
	var kept []float64
	x, err := tr.Update(t.Context(), 10, 3, func(s *tensor.Scope, micro int) tensor.Tensor {
		w := m.Norm.In(s)
		half := tensor.Scale(w, 0.5).Keep()
		tr.Observe("ones", s.Full(backend.F64, 1, 1))
		tr.After(func() error {
			v, err := half.Values()
			kept = append(kept, v[0])
			return err
		})
		return tensor.Scale(tensor.Sum(tensor.Mul(w, w)), float64(micro)) // 0, 1 and 2 times 32
	})
	if err != nil {
		t.Fatal(err)
	}
	if x.Values["loss"] != 96 || x.Values["ones"] != 3 || x.Values["num_tokens"] != 10 || !slices.Equal(kept,
		[]float64{.5, .5, .5}) {
		t.Errorf("%+v, kept %v", x, kept)
	}
	if want := 6 * math.Sqrt(32); math.Abs(x.Values["grad_norm"]-want) > 1e-12 {
		t.Errorf("gradient norm %g, want %g", x.Values["grad_norm"], want)
	}
}

func TestAveragedParametersFollowTheWeights(t *testing.T) {
	m := newModel(t, backend.F64)
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-2}, EMADecay: 0.75}
	want := mustFloats(t, m.Embed)
	for range 3 {
		mustStep(t, tr, randomText(2))
		for i, w := range mustFloats(t, m.Embed) {
			want[i] = 0.75*want[i] + 0.25*w
		}
	}
	i := slices.Index(m.Params.All(), m.Embed)
	if p := tr.EMA()[i]; p.Name != m.Embed.Name || maxDiff(mustFloats(t, p), want) > 1e-15 {
		t.Errorf("average of %s has an error of %g", p.Name, maxDiff(mustFloats(t, p), want))
	}
}

// explode makes the gradient of one parameter NaN in the second step.
func explode(tr *Trainer, m *model.Model) func(*tensor.Scope, model.Batch) tensor.Tensor {
	return func(s *tensor.Scope, b model.Batch) tensor.Tensor {
		loss := tr.DefaultLoss(s, b)
		if tr.StepCount() == 1 {
			w := m.Norm.In(s)
			zero := tensor.Sub(w, tensor.Detach(w))
			loss = tensor.Add(loss, tensor.Sum(tensor.Mul(zero, tensor.Log(zero)))) // 0·ln 0
		}
		return loss
	}
}

func TestANonFiniteStepStopsTheRunWithItsParameter(t *testing.T) {
	m := newModel(t, backend.F64)
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}}
	tr.Loss = explode(tr, m)
	data := randomText(2)
	mustStep(t, tr, data)
	before := sum(t, tr)
	_, err := tr.Step(t.Context(), mustBatch(t, data, 1))
	if err == nil || !strings.Contains(err.Error(), "step 2") || !strings.Contains(err.Error(), "loss is NaN") {
		t.Errorf("got %v", err)
	}
	if sum(t, tr) != before || tr.StepCount() != 1 {
		t.Error("the step changed something")
	}
	// If the loss is finite but a gradient is not, the error names the parameter.
	_, err = tr.Update(t.Context(), 1, 1, func(s *tensor.Scope, _ int) tensor.Tensor {
		bad := tensor.Func{
			Forward: func(s *tensor.Scope, in []tensor.Tensor) tensor.Tensor { return s.Full(backend.F64, 1, 1) },
			Backward: func(s *tensor.Scope, in []tensor.Tensor, _, _ tensor.Tensor) []tensor.Tensor {
				return []tensor.Tensor{s.Full(backend.F64, math.Inf(1), in[0].Dim(0))}
			},
		}
		return bad.Apply(m.Norm.In(s))
	})
	if err == nil || !strings.Contains(err.Error(), "model.norm.weight") {
		t.Errorf("got %v", err)
	}
	if sum(t, tr) != before {
		t.Error("the step changed something")
	}
}

func TestNonFiniteStepsCanBeSkipped(t *testing.T) {
	m := newModel(t, backend.F64)
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}, SkipNonFinite: true}
	tr.Loss = explode(tr, m)
	data := randomText(2)
	mustStep(t, tr, data)
	before := sum(t, tr)
	if x := mustStep(t, tr, data); x.Values["skipped"] != 1 || tr.StepCount() != 2 {
		t.Errorf("%+v", x)
	}
	if sum(t, tr) != before {
		t.Error("a skipped step changed something")
	}
	if x := mustStep(t, tr, data); x.Values["skipped"] != 0 || sum(t, tr) == before {
		t.Errorf("training did not go on: %+v", x)
	}
}

func TestMeaninglessBatchesAreRefused(t *testing.T) {
	m := newModel(t, backend.F32)
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}}
	for _, c := range []struct {
		seq  model.Sequence
		want string
	}{
		{model.Sequence{IDs: []int32{1}}, "1 tokens"},
		{model.Sequence{IDs: []int32{1, 32}}, "vocab_size"},
		{model.Sequence{IDs: []int32{-1, 3}}, "vocab_size"},
		{model.Sequence{IDs: make([]int32, 300)}, "max_position_embeddings"},
		{model.Sequence{IDs: []int32{1, 2}, Weight: []float32{1, 1}}, "2 weights"},
		{model.Sequence{IDs: []int32{1, 2}, Weight: []float32{0}}, "sum to 0"},
		{model.Sequence{IDs: []int32{1, 2}, Weight: []float32{float32(math.NaN())}}, "sum to NaN"},
	} {
		if _, err := tr.Step(t.Context(), []model.Sequence{c.seq}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.seq, err, c.want)
		}
	}
}

func TestSettingsThatCannotTrainAreRefused(t *testing.T) {
	m := newModel(t, backend.F32)
	good := func() *Trainer { return &Trainer{Model: m, Optimizer: AdamW{LR: 1}, Steps: 1} }
	for name, spoil := range map[string]func(*Trainer){
		"Model": func(t *Trainer) { t.Model = nil }, "Optimizer": func(t *Trainer) { t.Optimizer = nil },
		"AdamW.LR": func(t *Trainer) { t.Optimizer = AdamW{} }, "Steps": func(t *Trainer) { t.Steps = 0 },
		"ClipNorm": func(t *Trainer) { t.ClipNorm = -1 }, "EMADecay": func(t *Trainer) { t.EMADecay = 1 },
	} {
		tr := good()
		spoil(tr)
		if err := tr.Run(t.Context(), randomText(1)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	failing := errors.New("no such shard")
	err := good().Run(t.Context(), DataFunc(func(int) ([]model.Sequence, error) { return nil, failing }))
	if !errors.Is(err, failing) || !strings.Contains(err.Error(), "step 1") {
		t.Errorf("got %v", err)
	}
}

// A closed trainer has no moments: if it continued, it would train, or save, with zeros
// instead.
func TestAClosedTrainerRefusesToGoOn(t *testing.T) {
	tr := newRun(t, AdamW{LR: 1e-3}, t.TempDir(), 4)
	mustStep(t, tr, randomText(4))
	tr.Close()
	if _, err := tr.Step(t.Context(), mustBatch(t, randomText(4), 1)); err == nil || !strings.Contains(err.Error(),
		"closed") {
		t.Errorf("step: %v", err)
	}
	if err := tr.Save(); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("save: %v", err)
	}
	if tr.EMA() != nil {
		t.Error("the moving average outlives its memory")
	}
}

// scales is AdamW that records the gradient scale of each update.
type scales struct {
	AdamW
	seen *[]float64
}

func (o scales) Update(s *tensor.Scope, p *tensor.Param, g backend.View, m []backend.View, at backend.View) {
	values, err := backend.Values(p.Backend(), at)
	s.Fail(err)
	*o.seen = append(*o.seen, values[2])
	o.AdamW.Update(s, p, g, m, at)
}

func TestStepClipsTheGradientToClipNorm(t *testing.T) {
	for _, limit := range []float64{0.01, math.Inf(1)} {
		var seen []float64
		tr := &Trainer{Model: newModel(t, backend.F32), Optimizer: scales{AdamW{LR: 1e-3}, &seen}, ClipNorm: limit}
		defer tr.Close()
		norm := mustStep(t, tr, randomText(2)).Values["grad_norm"]
		if norm <= 0.01 {
			t.Fatalf("the norm is %g: nothing to clip", norm)
		}
		for _, got := range seen {
			if want := min(1, limit/norm); got != want {
				t.Errorf("limit %g, norm %g: gradients scaled by %g, want %g", limit, norm, got, want)
			}
		}
	}
}

// Schedule and BiasRate are called with the number of steps made before and the tokens that
// these consumed.
func TestSchedulesAreAskedWithWhatIsBehind(t *testing.T) {
	var rates, biases [][2]int64
	tr := &Trainer{Model: newModel(t, backend.F32), Optimizer: AdamW{LR: 1e-3}}
	tr.Schedule = func(step int, tokens int64) float64 { rates = append(rates, [2]int64{int64(step), tokens}); return 1 }
	tr.BiasRate = func(step int, tokens int64) float64 { biases = append(biases, [2]int64{int64(step), tokens}); return 0 }
	defer tr.Close()
	var want [][2]int64
	for step := range 3 {
		want = append(want, [2]int64{int64(step), tr.Tokens()})
		mustStep(t, tr, randomText(2))
	}
	if want[2][1] == 0 || !slices.Equal(rates, want) || !slices.Equal(biases, want) {
		t.Errorf("asked %v and %v, want %v", rates, biases, want)
	}
}
