package rl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// trlDPO is the content of testdata/trl_dpo.json, computed by TRL's trainer.
type trlDPO struct {
	Tokens     []int     `json:"tokens"`
	LogProb    []float64 `json:"log_prob"`
	RefLogProb []float64 `json:"ref_log_prob"`
	Entropy    []float64 `json:"entropy"`
	Cases      []struct {
		Loss      PreferenceLoss     `json:"loss_type"`
		Beta      float64            `json:"beta"`
		Smoothing float64            `json:"label_smoothing"`
		Value     float64            `json:"loss"`
		Grad      []float64          `json:"grad_log_prob"`
		Metrics   map[string]float64 `json:"metrics"`
	} `json:"cases"`
}

// pairCase is a batch of pairs with the log-probabilities of its rows in float64, which are
// 0 in prompts.
type pairCase struct {
	pairs   []comparison
	logProb []float64
	entropy []float64
	at      []int // the row of each token of the fixture
}

func (f *trlDPO) batch() (c pairCase) {
	at := 0
	side := func(prompt, n int) trainSample {
		x := trainSample{prompt: prompt, ref: f.RefLogProb[at : at+n], Sample: &rollout.Sample{IDs: make([]int32, n)}}
		x.seq.IDs = make([]int32, prompt+n)
		c.logProb = append(append(c.logProb, make([]float64, prompt-1)...), f.LogProb[at:at+n]...)
		c.entropy = append(append(c.entropy, make([]float64, prompt-1)...), f.Entropy[at:at+n]...)
		for i := range n {
			c.at = append(c.at, len(c.logProb)-n+i)
		}
		at += n
		return x
	}
	for i := 0; i < len(f.Tokens); i += 2 {
		prompt := 1 + i%3
		c.pairs = append(c.pairs, comparison{side(prompt, f.Tokens[i]), side(prompt, f.Tokens[i+1]), 0})
	}
	for i := range c.pairs {
		c.pairs[i].weight = 1 / float64(len(c.pairs))
	}
	return c
}

// evaluate returns the loss of the pairs and its gradient with respect to the
// log-probabilities of rows.
func (c pairCase) evaluate(t testing.TB, b backend.Backend, dt backend.DType, d *DPO) (float64, []float64) {
	t.Helper()
	p, err := tensor.NewParam(b, "logProb", dt, len(c.logProb))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := p.SetFloats(c.logProb); err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	starts := []int32{0}
	for _, x := range both(c.pairs) {
		starts = append(starts, starts[len(starts)-1]+int32(x.seq.Rows()))
	}
	loss := d.loss(p.In(s), model.Batch{
		Weight: s.Full(dt, 0, len(c.logProb)), SeqStart: s.Ints(starts, len(starts)),
	}, c.pairs)
	if err := s.Backward(loss); err != nil {
		t.Fatal(err)
	}
	value, err := loss.Item()
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Grad()
	if err != nil {
		t.Fatal(err)
	}
	grad, err := backend.Values(b, g)
	if err != nil {
		t.Fatal(err)
	}
	return value, grad
}

func readTRLDPO(t testing.TB) (f trlDPO) {
	t.Helper()
	text, err := os.ReadFile("testdata/trl_dpo.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// Losses, gradients and metrics of DPO agree with TRL's code.
func TestPreferenceLossesAreTRLs(t *testing.T) {
	b, f := openCPU(t), readTRLDPO(t)
	c := f.batch()
	if len(f.Cases) < 9 {
		t.Fatalf("%d cases", len(f.Cases))
	}
	for _, want := range f.Cases {
		d := &DPO{Loss: want.Loss, Beta: want.Beta, LabelSmoothing: want.Smoothing}
		for _, dtype := range []struct {
			dt        backend.DType
			tolerance float64
		}{{backend.F64, 1e-12}, {backend.F32, 1e-6}} {
			name := fmt.Sprintf("%s, β %g, ε %g, %s", want.Loss, want.Beta, want.Smoothing, dtype.dt)
			loss, grad := c.evaluate(t, b, dtype.dt, d)
			near(t, name+": loss", loss/want.Value, 1, dtype.tolerance)
			for i, row := range c.at {
				near(t, fmt.Sprintf("%s: gradient %d", name, i), grad[row], want.Grad[i], dtype.tolerance)
			}
		}
		var s pairStats
		s.add(d, c.pairs, c.logProb, c.entropy)
		near(t, "loss on the host", s.loss/want.Value, 1, 1e-12)
		got := map[string]float64{}
		s.enter(got, "")
		if len(got) != len(want.Metrics) {
			t.Errorf("%d metrics, TRL has %d of them", len(got), len(want.Metrics))
		}
		for name, v := range want.Metrics {
			near(t, name, got[name], v, 1e-12)
		}
	}
}

// Gradients agree with finite differences, for pairs with different weights.
func TestPreferenceGradientsAgreeWithFiniteDifferences(t *testing.T) {
	const seed = 4
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b, f := openCPU(t), readTRLDPO(t)
	c := f.batch()
	for i := range c.pairs {
		c.pairs[i].weight = r.Float64()
	}
	for _, d := range []*DPO{
		{}, {LabelSmoothing: 0.2}, {Loss: PreferenceRobust, LabelSmoothing: 0.3}, {Loss: PreferenceIPO},
		{Loss: PreferenceSigmoidNorm, Beta: 3},
	} {
		_, grad := c.evaluate(t, b, backend.F64, d)
		for i, row := range c.at {
			const h = 1e-5
			was := c.logProb[row]
			c.logProb[row] = was + h
			up, _ := c.evaluate(t, b, backend.F64, d)
			c.logProb[row] = was - h
			down, _ := c.evaluate(t, b, backend.F64, d)
			c.logProb[row] = was
			near(t, fmt.Sprintf("%s: gradient %d", d.Loss, i), grad[row], (up-down)/(2*h), 1e-8)
		}
	}
}

// randomPairs returns pairs of random lengths for a model of config tiny.
func randomPairs(seed uint64, n int) []Pair {
	r := rand.New(rand.NewPCG(seed, 0))
	ids := func(most int) []int32 {
		out := make([]int32, 1+r.IntN(most))
		for i := range out {
			out[i] = r.Int32N(16)
		}
		return out
	}
	pairs := make([]Pair, n)
	for i := range pairs {
		p := Pair{Prompt: ids(4), Chosen: ids(8), Rejected: ids(8)}
		p.Chosen[0] = 7
		p.Rejected[0] = 8
		pairs[i] = p
	}
	return pairs
}

// newPreferences returns a DPO of m on random pairs.
func newPreferences(t testing.TB, m *model.Model) *DPO {
	t.Helper()
	d := &DPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, Seed: 5, Log: slog.New(slog.DiscardHandler)},
		Pairs:   randomPairs(1, 13), Held: randomPairs(2, 6), Batch: 4, Steps: 6,
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		d.Trainer.Close()
	})
	return d
}

func newTiny(t testing.TB, o model.Options) *model.Model {
	t.Helper()
	m, err := model.NewWith(openCPU(t), tiny(), 3, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// mustPrefer runs d and returns its metrics and the checksum of its weights.
func mustPrefer(t testing.TB, d *DPO) (all []train.Metrics, sum string) {
	t.Helper()
	d.OnStep = func(m train.Metrics) {
		m.Time = 0
		all = append(all, m)
	}
	if err := d.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sum, err := train.WeightsSHA256(d.Trainer.Model.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	d.Trainer.Close()
	return all, sum
}

// In the first step the policy is the reference model: the loss is log 2 and rewards are
// exactly 0. Later the chosen completions become more likely, including held-out ones.
func TestPreferencesAreLearned(t *testing.T) {
	for _, adapted := range []bool{false, true} {
		m := newTiny(t, model.Options{})
		if adapted {
			attach(t, m)
		}
		d := newPreferences(t, m)
		d.Steps = 40
		margin := 0.5
		if adapted { // adapters begin with small random weights and learn more slowly
			d.Trainer.Optimizer, margin = train.AdamW{LR: 0.05}, 0.1
		}
		all, _ := mustPrefer(t, d)
		first, last := all[0].Values, all[len(all)-1].Values
		if math.Abs(first["loss"]-math.Ln2) > 1e-6 || first["rewards/chosen"] != 0 || first["rewards/margins"] != 0 {
			t.Errorf("the first step has %v", first)
		}
		if !(last["rewards/accuracies"] == 1 && last["rewards/margins"] > margin && last["loss"] < 0.65) {
			t.Errorf("the last step has %v", last)
		}
		v, err := d.Evaluate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !(v["eval_rewards/accuracies"] == 1 && v["eval_loss"] < 0.67) {
			t.Errorf("held-out pairs have %v", v)
		}
	}
}

// Splitting a batch into micro-batches changes neither loss, metrics nor gradients.
func TestMicroBatchesOfPairsChangeNothing(t *testing.T) {
	for _, c := range []struct {
		dtype     backend.DType
		tolerance float64
	}{{backend.F64, 1e-12}, {backend.F32, 1e-6}} {
		for _, loss := range []PreferenceLoss{PreferenceSigmoid, PreferenceIPO, PreferenceSigmoidNorm} {
			var values []map[string]float64
			var grads [][]float64
			for _, rows := range []int{0, 1, 40} {
				m := newTiny(t, model.Options{DType: c.dtype})
				d := newPreferences(t, m)
				d.Batch, d.Loss, d.Pairs[3].Weight = 13, loss, 2.5
				d.Trainer.MaxRows, d.Trainer.BalanceAlpha = rows, 0.01
				d.Precompute = true
				if err := d.prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, ref := range d.known { // make the policy differ from the reference model
					for i := range ref {
						ref[i] -= math.Sin(ref[i] + float64(i))
					}
				}
				got, err := d.Step(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, got.Values)
				grads = append(grads, gradients(t, &GRPO{Trainer: d.Trainer}))
			}
			for i := 1; i < 3; i++ {
				for name, v := range values[0] {
					near(t, fmt.Sprintf("%v %s: %s", c.dtype, loss, name), values[i][name]/v, 1, c.tolerance*10)
				}
				if d := relative(grads[i], grads[0]); !(d <= c.tolerance) {
					t.Errorf("%v %s: gradients of split %d differ by %g", c.dtype, loss, i, d)
				}
			}
		}
	}
}

// Pairs are never split over micro-batches, and none is lost.
func TestPairsStayWhole(t *testing.T) {
	d := &DPO{Pairs: randomPairs(3, 20), Trainer: &train.Trainer{}}
	d.known = make([][]float64, 40)
	all := make([]int, 20)
	for i := range all {
		all[i] = i
	}
	pairs, global, err := d.comparisons(d.Pairs, all, 0)
	if err != nil {
		t.Fatal(err)
	}
	if global.Sequences != 40 {
		t.Errorf("%d sequences", global.Sequences)
	}
	var again []comparison
	for _, micro := range wholePairs(pairs, 30) {
		n := 0
		for _, x := range both(micro) {
			n += x.seq.Rows()
		}
		if n > 30 && len(micro) > 1 {
			t.Errorf("a micro-batch of %d pairs has %d rows", len(micro), n)
		}
		again = append(again, micro...)
	}
	if !reflect.DeepEqual(again, pairs) {
		t.Error("pairs were lost or moved")
	}
}

func TestEpochsOfPairsHaveEachOnce(t *testing.T) {
	d := &DPO{Pairs: randomPairs(3, 13), Batch: 4, Trainer: &train.Trainer{Seed: 9}}
	if d.StepsOf(3) != 12 {
		t.Errorf("3 epochs have %d steps", d.StepsOf(3))
	}
	var epochs [2][]int
	for step := range 8 {
		epochs[step/4] = append(epochs[step/4], d.batchIndices(step)...)
	}
	if slices.Equal(epochs[0], epochs[1]) {
		t.Error("two epochs have the same order")
	}
	for _, e := range epochs {
		slices.Sort(e)
		for i, at := range e {
			if i != at || len(e) != 13 {
				t.Fatalf("an epoch has the pairs %v", e)
			}
		}
	}
}

// A run with Precompute gives the same bits as a run with a copy of the reference model, and
// makes no copy.
func TestPrecomputedReferenceChangesNoBit(t *testing.T) {
	for _, adapted := range []bool{false, true} {
		var sums []string
		var metrics [][]train.Metrics
		var held []map[string]float64
		for _, precompute := range []bool{false, true} {
			m := newTiny(t, model.Options{})
			if adapted {
				attach(t, m)
			}
			d := newPreferences(t, m)
			d.Precompute, d.Trainer.MaxRows = precompute, 30
			var told []int
			d.OnPrecompute = func(done, total int) { told = append(told, done, total) }
			d.Trainer.EvalEvery = 2
			d.Trainer.Eval = func(ctx context.Context, _ int) (map[string]float64, error) { return d.Evaluate(ctx) }
			all, sum := mustPrefer(t, d)
			if (d.reference.copied == nil) != (precompute || adapted) {
				t.Errorf("precompute %v, adapters %v: the copy is %v", precompute, adapted, d.reference.copied)
			}
			if n := len(told); precompute != (n > 2) || n > 0 && (told[n-2] != 19 || told[n-1] != 19) {
				t.Errorf("precompute %v: progress %v", precompute, told)
			}
			v, ok := all[1].Values["eval_rewards/margins"]
			if !ok || v == 0 {
				t.Errorf("no evaluation after step 2: %v", all[1].Values)
			}
			sums, metrics, held = append(sums, sum), append(metrics, all), append(held, all[5].Values)
		}
		if sums[0] != sums[1] || !reflect.DeepEqual(metrics[0], metrics[1]) {
			t.Errorf("adapters %v: the runs differ:\n%v\n%v", adapted, held[0], held[1])
		}
	}
}

// An interrupted and resumed run gives the same bits as an uninterrupted one, with every kind
// of reference model.
func TestResumedPreferencesEqualUninterrupted(t *testing.T) {
	for name, set := range map[string]func(d *DPO){
		"a copy":      func(*DPO) {},
		"refreshed":   func(d *DPO) { d.RefSync, d.RefMix = 2, 0.6 },
		"precomputed": func(d *DPO) { d.Precompute = true },
		"adapters":    func(d *DPO) { attach(t, d.Trainer.Model) },
		"float64":     func(d *DPO) { d.Precompute = true },
		"adapters, precomputed": func(d *DPO) {
			attach(t, d.Trainer.Model)
			d.Precompute = true
		},
	} {
		begin := func(dir string, steps int) *DPO {
			o := model.Options{}
			if name == "float64" {
				o.DType = backend.F64
			}
			d := newPreferences(t, newTiny(t, o))
			d.Steps, d.Trainer.Dir = steps, dir
			set(d)
			return d
		}
		want, whole := mustPrefer(t, begin("", 6))
		dir := t.TempDir()
		got, _ := mustPrefer(t, begin(dir, 3))
		ctx, cancel := context.WithCancel(t.Context())
		stopped := begin(dir, 6)
		stopped.OnStep = func(m train.Metrics) {
			m.Time = 0
			got = append(got, m)
			cancel()
		}
		if err := stopped.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: error is %v", name, err)
		}
		stopped.Trainer.Close()
		last := begin(dir, 6)
		rest, sum := mustPrefer(t, last)
		if got = append(got, rest...); sum != whole || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the resumed run differs:\n%v\n%v", name, got, want)
		}
		held, err := filepath.Glob(filepath.Join(dir, "step-*", referenceFile))
		if err != nil || (len(held) > 0) != (last.reference.copied != nil) {
			t.Errorf("%s: checkpoints have %v (%v)", name, held, err)
		}
	}
}

// A cancelled precomputation leaves no state behind.
func TestStoppedPrecomputationStartsAgain(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	d := newPreferences(t, newTiny(t, model.Options{}))
	d.Precompute, d.Trainer.MaxRows, d.Trainer.Dir = true, 1, dir
	d.OnPrecompute = func(int, int) { cancel() }
	if err := d.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	if d.Trainer.Settings != nil || d.Trainer.Extra != nil {
		t.Error("the Trainer's fields were not restored")
	}
	if _, sum := mustPrefer(t, d); sum == "" || d.StepCount() != 6 {
		t.Errorf("%d steps", d.StepCount())
	}
}

// DPOMemory is accurate to a tenth. It is not exact since the order of the micro-batches
// decides which blocks of memory they share.
func TestMemoryOfDPOIsKnown(t *testing.T) {
	for name, set := range map[string]func(d *DPO){
		"a copy":      func(*DPO) {},
		"precomputed": func(d *DPO) { d.Precompute = true },
		"adapters":    func(d *DPO) { attach(t, d.Trainer.Model) },
	} {
		build := func(b backend.Backend) (*DPO, error) {
			m, err := model.NewWith(b, tiny(), 3, model.Options{})
			if err != nil {
				return nil, err
			}
			d := &DPO{
				Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, MaxRows: 30},
				Pairs:   randomPairs(1, 4), Held: randomPairs(2, 1), Batch: 4, Steps: 2,
			}
			set(d)
			return d, nil
		}
		est, err := DPOMemory(openCPU(t), build)
		if err != nil {
			t.Fatal(err)
		}
		c := &counting{Decorator: backend.Decorator{Backend: openCPU(t)}}
		d, err := build(c)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := d.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Evaluate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := est.Peak - c.peak; 10*max(d, -d) > c.peak {
			t.Errorf("%s: the estimate is %d bytes, the peak was %d", name, est.Peak, c.peak)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		d.Trainer.Close()
		d.Trainer.Model.Free()
		if c.held != 0 {
			t.Errorf("%s: %d bytes are left", name, c.held)
		}
	}
}
