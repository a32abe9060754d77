package distill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
)

// dense is the config of a small student.
func dense() model.Config {
	return model.Config{
		ModelType: model.TypeLlama, VocabSize: 12, HiddenSize: 8, IntermediateSize: 12, NumHiddenLayers: 1,
		NumAttentionHeads: 2, NumKeyValueHeads: 1, MaxPositionEmbeddings: 32, HiddenAct: "silu",
		RMSNormEps: 1e-6, InitializerRange: 0.4, RoPETheta: 1e4,
	}
}

// sparse is the config of a small teacher with experts.
func sparse() model.Config {
	c := model.Tiny(12)
	c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 16, 24, 8
	c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads = 2, 2, 2
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 8, 8, 8, 4, 8
	c.InitializerRange = 0.4
	return c
}

func newModel(t testing.TB, b backend.Backend, c model.Config, seed uint64, dt backend.DType) *model.Model {
	t.Helper()
	m, err := model.NewWith(b, c, seed, model.Options{DType: dt})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

func newCPU(t testing.TB) backend.Backend {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// sequences returns n random sequences with prompts of different lengths.
func sequences(seed uint64, n int) []model.Sequence {
	r := rand.New(rand.NewPCG(seed, 0))
	ids := func(n int) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = r.Int32N(12)
		}
		return out
	}
	seqs := make([]model.Sequence, n)
	for i := range seqs {
		seqs[i] = Response(ids(1+r.IntN(4)), ids(1+r.IntN(6)))
	}
	return seqs
}

// logits returns m's logits at every row of seqs, on the host.
func logits(t testing.TB, m *model.Model, seqs []model.Sequence) [][]float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	z := tensor.Logits(m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs))).Hidden, m.Head)
	flat, err := z.Values()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for r := range slices.Chunk(flat, z.Dim(1)) {
		rows = append(rows, r)
	}
	return rows
}

// softmax is the distribution of z at temperature t.
func softmax(z []float64, t float64) []float64 {
	p, sum := make([]float64, len(z)), 0.0
	for i, x := range z {
		p[i] = math.Exp((x - slices.Max(z)) / t)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// truncated sets all but the k largest probabilities of q to 0 and renormalises.
func truncated(q []float64, k int) []float64 {
	order := make([]int, len(q))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case q[i] > q[j]:
			return -1
		case q[i] < q[j]:
			return 1
		}
		return 0
	})
	out, mass := make([]float64, len(q)), 0.0
	for _, i := range order[:k] {
		mass += q[i]
	}
	for _, i := range order[:k] {
		out[i] = q[i] / mass
	}
	return out
}

// evaluate returns the loss that l computes for a batch.
func evaluate(t testing.TB, l Logit, student, teacher *model.Model, seqs []model.Sequence) float64 {
	t.Helper()
	s := tensor.NewScope(student.Backend(), tensor.Options{})
	defer s.Close()
	own := NewTeacher(teacher)
	defer own.Close()
	b := student.NewBatch(s, seqs, model.Totals(seqs))
	v, err := l.Loss(student, student.Forward(s, b), b, l.Targets(s, own, b)).Item()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.17g, want %.17g within %g", what, got, want, tolerance)
	}
}

func TestLossByHand(t *testing.T) {
	b := newCPU(t)
	head, err := tensor.NewParam(b, "head", backend.F64, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Free()
	if err := head.SetFloats([]float64{1, 0}); err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	// Two rows with q = (3/4, 1/4). The head maps a hidden state h to logits (h, 0): h = 0
	// gives p = (1/2, 1/2), and h = ln 9 gives (9/10, 1/10), or at temperature 2 (3/4,
	// 1/4), which is q.
	out := model.Output{Hidden: s.Floats(backend.F64, []float64{0, math.Log(9)}, 2, 1)}
	q := Targets{LogProb: s.Floats(backend.F64, []float64{math.Log(.75), math.Log(.25), math.Log(.75), math.Log(.25)},
		2, 2)}
	batch := model.Batch{Weight: s.Floats(backend.F64, []float64{0.5, 2}, 2)}
	half := .75*math.Log(1.5) + .25*math.Log(.5)      // KL to (1/2, 1/2)
	ninth := .75*math.Log(.75/.9) + .25*math.Log(2.5) // KL to (9/10, 1/10)
	for _, c := range []struct{ temperature, want float64 }{
		{0, 0.5*half + 2*ninth},
		{1, 0.5*half + 2*ninth},
		{2, 4 * 0.5 * half}, // T² = 4; the second row has loss 0
	} {
		v, err := (Logit{Temperature: c.temperature}).Loss(&model.Model{Head: head}, out, batch, q).Item()
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("temperature %g", c.temperature), v, c.want, 1e-14)
	}
}

func TestLossIsItsDefinition(t *testing.T) {
	b := newCPU(t)
	student, teacher := newModel(t, b, dense(), 3, backend.F64), newModel(t, b, sparse(), 4, backend.F64)
	seqs := sequences(5, 6)
	z, zt := logits(t, student, seqs), logits(t, teacher, seqs)
	for _, l := range []Logit{{}, {Temperature: 2}, {Temperature: 0.5}, {TopK: 1}, {TopK: 3, Temperature: 2},
		{TopK: 12}, {TopK: 99}} {
		temperature, k := max(l.Temperature, 0.5), 12
		if l.Temperature == 0 {
			temperature = 1
		}
		if l.TopK > 0 {
			k = min(l.TopK, 12)
		}
		row, want := 0, 0.0
		for _, q := range seqs {
			for _, w := range q.Weight {
				p, target := softmax(z[row], temperature), truncated(softmax(zt[row], temperature), k)
				for v := range p {
					if target[v] > 0 {
						want += float64(w) / model.Totals(seqs).Weight * target[v] * math.Log(target[v]/p[v])
					}
				}
				row++
			}
		}
		near(t, fmt.Sprintf("%+v", l), evaluate(t, l, student, teacher, seqs), temperature*temperature*want, 1e-12)
	}
}

func TestLossVanishesWhereStudentIsTeacher(t *testing.T) {
	b := newCPU(t)
	seqs := sequences(7, 5)
	m := newModel(t, b, sparse(), 8, backend.F32)
	for _, l := range []Logit{{}, {Temperature: 2}, {Temperature: 0.7}} {
		if v := evaluate(t, l, m, m, seqs); v != 0 {
			t.Errorf("%+v: the loss of a model against itself is %g, want exactly 0", l, v)
		}
	}
	// With top-k, the loss is −log of the probability that the student gives to the k
	// tokens.
	want, row := 0.0, 0
	z := logits(t, m, seqs)
	for _, q := range seqs {
		for _, w := range q.Weight {
			p := softmax(z[row], 1)
			slices.Sort(p)
			want -= float64(w) / model.Totals(seqs).Weight * math.Log(p[11]+p[10]+p[9])
			row++
		}
	}
	near(t, "top 3", evaluate(t, Logit{TopK: 3}, m, m, seqs), want, 1e-5)
}

func TestGradientIsThatOfTheLoss(t *testing.T) {
	b := newCPU(t)
	student, teacher := newModel(t, b, dense(), 11, backend.F64), newModel(t, b, sparse(), 12, backend.F64)
	own := NewTeacher(teacher)
	defer own.Close()
	seqs := sequences(13, 3)
	for _, l := range []Logit{{}, {TopK: 2, Temperature: 3}} {
		loss := l.TrainerLoss(&train.Trainer{Model: student}, own)
		gradtest.Check(t, student.Params.All(), func(s *tensor.Scope) tensor.Tensor {
			return loss(s, student.NewBatch(s, seqs, model.Totals(seqs)))
		}, gradtest.Options{Samples: 12, Seed: 14, NoGrad: teacher.Params.All()})
	}
}

// Whatever the precision of teacher and student, logits are F32: loss and gradient differ
// from those of two F32 models only by the rounding of activations to BF16.
func TestTeacherAndStudentMayBeOfTwoPrecisions(t *testing.T) {
	b, seqs := newCPU(t), sequences(8, 6)
	run := func(l Logit, precisions [2]backend.DType) (loss float64, grad []float64) {
		var models [2]*model.Model
		for i, p := range precisions {
			m, err := model.NewWith(b, dense(), uint64(i), model.Options{Precision: p})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Free()
			models[i] = m
		}
		teacher := NewTeacher(models[0])
		defer teacher.Close()
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		defer s.Close()
		batch := models[1].NewBatch(s, seqs, model.Totals(seqs))
		x := l.Loss(models[1], models[1].Forward(s, batch), batch, l.Targets(s, teacher, batch))
		if x.DType() != backend.F32 {
			t.Errorf("%v: the loss is %s", precisions, x.DType())
		}
		if err := s.Backward(x); err != nil {
			t.Fatal(err)
		}
		loss, err := x.Item()
		if err != nil {
			t.Fatal(err)
		}
		g, err := models[1].Head.Grad()
		if err != nil {
			t.Fatal(err)
		}
		if grad, err = backend.Values(b, g); err != nil {
			t.Fatal(err)
		}
		return loss, grad
	}
	for _, l := range []Logit{{Temperature: 2}, {TopK: 3}} {
		want, wantGrad := run(l, [2]backend.DType{})
		for _, p := range [][2]backend.DType{{backend.BF16, 0}, {0, backend.BF16}, {backend.BF16, backend.BF16}} {
			loss, grad := run(l, p)
			size, off := 0.0, 0.0
			for i, x := range wantGrad {
				size, off = math.Hypot(size, x), math.Hypot(off, grad[i]-x)
			}
			if !(math.Abs(loss-want) <= 0.02*want && off <= 0.02*size && off > 0) {
				t.Errorf("%+v, %v: loss %g, in F32 %g; gradient off by %.3g", l, p, loss, want, off/size)
			}
		}
	}
}

func TestMicroBatchesChangeNothing(t *testing.T) {
	b := newCPU(t)
	teacher := NewTeacher(newModel(t, b, sparse(), 21, backend.F64))
	defer teacher.Close()
	step := func(rows int) (loss float64, weights []float64) {
		m := newModel(t, b, dense(), 22, backend.F64)
		tr := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, MaxRows: rows}
		defer tr.Close()
		tr.Loss = Logit{Temperature: 2, TopK: 4}.TrainerLoss(tr, teacher)
		x, err := tr.Step(t.Context(), sequences(23, 9))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Params.All() {
			v, err := p.Floats()
			if err != nil {
				t.Fatal(err)
			}
			weights = append(weights, v...)
		}
		return x.Values["loss"], weights
	}
	loss, weights := step(0)
	for _, rows := range []int{1, 17} {
		l, w := step(rows)
		near(t, fmt.Sprintf("loss in micro-batches of %d rows", rows), l, loss, 1e-13)
		for i := range w {
			// AdamW's first step is ±LR unless the gradient is tiny.
			near(t, fmt.Sprintf("weight %d, micro-batches of %d rows", i, rows), w[i], weights[i], 1e-8)
		}
	}
}

// The loss includes that of the student's Drafter and the balance loss of its experts.
func TestTrainerLossHasTheTermsOfTheArchitecture(t *testing.T) {
	b := newCPU(t)
	c := sparse()
	c.NumNextNPredictLayers = 1
	m := newModel(t, b, c, 34, backend.F64)
	d, err := mtp.New(m)
	if err != nil {
		t.Fatal(err)
	}
	teacher := NewTeacher(newModel(t, b, sparse(), 35, backend.F64))
	defer teacher.Close()
	tr := &train.Trainer{Model: m, Drafter: d, Optimizer: train.AdamW{LR: 1e-2}, BalanceAlpha: 0.1}
	defer tr.Close()
	tr.Loss = Logit{}.TrainerLoss(tr, teacher)
	x, err := tr.Step(t.Context(), sequences(36, 4))
	if err != nil {
		t.Fatal(err)
	}
	if x.Values["mtp_loss"] <= 0 || x.Values["aux_loss"] <= 0 ||
		x.Values["loss"] <= x.Values["mtp_loss"]+x.Values["aux_loss"] {
		t.Errorf("metrics %v", x.Values)
	}
	if !d.Modules[0].EHProj.W.HasGrad() {
		t.Error("the Drafter has no gradient")
	}
}

func TestTeacherIsOnlyRead(t *testing.T) {
	b := newCPU(t)
	m := newModel(t, b, sparse(), 31, backend.F32)
	before, err := train.WeightsSHA256(m.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	teacher := NewTeacher(m)
	defer teacher.Close()
	tr := &train.Trainer{Model: newModel(t, b, dense(), 32, backend.F32), Optimizer: train.AdamW{LR: 1e-2}}
	defer tr.Close()
	tr.Loss = Logit{}.TrainerLoss(tr, teacher)
	for range 3 {
		if _, err := tr.Step(t.Context(), sequences(33, 4)); err != nil {
			t.Fatal(err)
		}
	}
	after, err := train.WeightsSHA256(m.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Error("training the student changed the teacher")
	}
	for _, p := range m.Params.All() {
		if p.HasGrad() {
			t.Errorf("%s of the teacher has a gradient", p.Name)
		}
	}
	gates, _ := m.Gates()
	for _, g := range gates {
		load, err := g.Load()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Max(load) > 0 {
			t.Errorf("the teacher's gate counted %v as training", load)
		}
	}
}

func TestStudentComesNearTheTeacher(t *testing.T) {
	b := newCPU(t)
	teacher := NewTeacher(newModel(t, b, sparse(), 41, backend.F32))
	defer teacher.Close()
	for _, l := range []Logit{{}, {Temperature: 2, TopK: 6}} {
		tr := &train.Trainer{Model: newModel(t, b, dense(), 42, backend.F32), Optimizer: train.AdamW{LR: 2e-2}}
		defer tr.Close()
		tr.Loss = l.TrainerLoss(tr, teacher)
		var losses []float64
		for range 40 {
			x, err := tr.Step(t.Context(), sequences(43, 8))
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, x.Values["loss"])
		}
		if first, last := losses[0], losses[39]; !(last < first/4 && last > 0) {
			t.Errorf("%+v: the loss went from %g to %g in 40 steps, want a quarter", l, first, last)
		}
	}
}

func TestMistakesPanicWithTheirNumbers(t *testing.T) {
	b := newCPU(t)
	c := dense()
	c.VocabSize = 13
	student, teacher := newModel(t, b, c, 51, backend.F32), NewTeacher(newModel(t, b, sparse(), 52, backend.F32))
	defer teacher.Close()
	for want, call := range map[string]func(){
		"a student of 13 tokens, a teacher of 12": func() { Logit{}.TrainerLoss(&train.Trainer{Model: student}, teacher) },
		"Temperature -1": func() { evaluate(t, Logit{Temperature: -1}, teacher.model, teacher.model, sequences(1, 1)) },
		"Temperature +Inf": func() {
			evaluate(t, Logit{Temperature: math.Inf(1)}, teacher.model, teacher.model, sequences(1, 1))
		},
		"TopK -2": func() { evaluate(t, Logit{TopK: -2}, teacher.model, teacher.model, sequences(1, 1)) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panic %q, want %q in it", got, want)
				}
			}()
			call()
		}()
	}
}
