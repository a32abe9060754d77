package lora

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
)

// text returns the same random sequences for every step.
func text(int) ([]model.Sequence, error) {
	r := rand.New(rand.NewPCG(5, 0))
	seqs := make([]model.Sequence, 4)
	for i := range seqs {
		for range 8 + i {
			seqs[i].IDs = append(seqs[i].IDs, int32(r.IntN(48)))
		}
	}
	return seqs, nil
}

func trainer(t testing.TB, m *model.Model, dir string, steps int) *train.Trainer {
	tr := &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: 0.02}, Steps: steps, MaxRows: 16, Dir: dir, EMADecay: 0.9, ClipNorm: 100,
	}
	t.Cleanup(tr.Close)
	return tr
}

func adapt(t testing.TB, m *model.Model) *Adapters {
	t.Helper()
	a, err := Attach(m, all)
	must(t, err)
	return a
}

func sum(t testing.TB, m *model.Model) string {
	t.Helper()
	s, err := train.WeightsSHA256(m.Params.All())
	must(t, err)
	return s
}

// Adapters learn a text with frozen weights of every format, which do not change.
func TestAdaptersTrain(t *testing.T) {
	for _, o := range []model.Options{
		{}, {Precision: backend.BF16}, {Format: backend.BFloat16}, {Format: backend.BFloat16, Packed: true},
		{Format: backend.Q8, Packed: true}, {Format: backend.Q4, Packed: true},
		{Format: backend.Q4_1, Packed: true}, {Format: backend.FP8, Packed: true},
	} {
		for _, name := range []string{"qwen3", "deepseek_v3_groups_yarn"} {
			m := loadModel(t, name, o)
			before := map[string][]float64{}
			for _, p := range m.Params.All() {
				x, err := p.Floats()
				must(t, err)
				before[p.Name] = x
			}
			adapt(t, m)
			tr := trainer(t, m, t.TempDir(), 12)
			var losses []float64
			tr.OnStep = func(x train.Metrics) { losses = append(losses, x.Values[train.MetricLoss]) }
			must(t, tr.Run(t.Context(), train.DataFunc(text)))
			if last := losses[len(losses)-1]; !(last < 0.7*losses[0]) {
				t.Errorf("%s, %+v: loss %g, at first %g", name, o, last, losses[0])
			}
			for n, want := range before {
				if got, err := m.Params.Get(n).Floats(); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s, %+v: %s has moved; %v", name, o, n, err)
				}
			}
		}
	}
}

// A step with packed weights is close to one with the unpacked weights, and equal to it if
// the format also supports training.
func TestPackedWeightsTrainAdaptersAsMastersDo(t *testing.T) {
	for _, c := range []struct {
		format backend.Format
		most   float64
	}{{backend.BFloat16, 0}, {backend.Q8, 0.1}, {backend.FP8, 0.2}} {
		gradient := func(o model.Options) (all []float64) {
			m := loadModel(t, "qwen3", o)
			m.Recompute = o.Packed // recomputation changes no bit
			a := adapt(t, m)
			disturb(t, a)
			tr := trainer(t, m, "", 1)
			seqs, _ := text(0)
			_, err := tr.Step(t.Context(), seqs)
			must(t, err)
			s := tensor.NewScope(m.Backend(), tensor.Options{})
			defer s.Close()
			for _, p := range a.Params() {
				g, err := p.Grad()
				must(t, err)
				v, err := s.Constant(g).Values()
				must(t, err)
				all = append(all, v...)
			}
			return all
		}
		of := model.Options{Format: c.format}
		if c.format.ForwardOnly {
			of.Format = backend.Native
		}
		want, got := gradient(of), gradient(model.Options{Format: c.format, Packed: true})
		if d := off(got, want); !(d <= c.most) {
			t.Errorf("%s: gradients off by %g, want at most %g", c.format, d, c.most)
		}
	}
}

// A run that trains adapters resumes bit for bit from a checkpoint that has only the
// adapters.
func TestAdaptersResume(t *testing.T) {
	for _, o := range []model.Options{{}, {Format: backend.Q8, Packed: true}} {
		fresh := func() *model.Model {
			m := loadModel(t, "deepseek_v3_groups_yarn", o)
			adapt(t, m)
			return m
		}
		whole := fresh()
		must(t, trainer(t, whole, "", 6).Run(t.Context(), train.DataFunc(text)))

		dir := t.TempDir()
		first := trainer(t, fresh(), dir, 4)
		must(t, first.Run(t.Context(), train.DataFunc(text)))
		first.Close()
		m := fresh()
		second := trainer(t, m, dir, 6)
		must(t, second.Run(t.Context(), train.DataFunc(text)))
		for _, p := range m.Params.All() {
			want, err := whole.Params.Get(p.Name).Floats()
			must(t, err)
			if got, err := p.Floats(); err != nil || !slices.Equal(got, want) {
				t.Errorf("%+v: %s differs; %v", o, p.Name, err)
			}
		}
		for _, p := range second.EMA() {
			if p.Kind != tensor.KindAdapter && !strings.Contains(p.Name, "lora_") {
				t.Errorf("average of %s", p.Name)
			}
		}
		second.Close()

		folders, err := filepath.Glob(filepath.Join(dir, "step-*", checkpoint.SingleFile))
		must(t, err)
		if len(folders) != 2 {
			t.Fatalf("checkpoints %v", folders)
		}
		r, err := checkpoint.Open(folders[0])
		must(t, err)
		defer r.Close()
		for _, x := range r.Tensors() {
			if !strings.Contains(x.Name, ".lora_") {
				t.Errorf("%s is in the checkpoint", x.Name)
			}
		}

		other := fresh()
		norm := other.Norm
		x, err := norm.Floats()
		must(t, err)
		x[0]++
		must(t, norm.SetFloats(x))
		if err := trainer(t, other, dir, 6).Run(t.Context(), train.DataFunc(text)); !says(err, "base_sha256: ") {
			t.Errorf("over other weights: %v", err)
		}
	}
}

// Merged adapters cannot be trained: the Trainer returns an error.
func TestMergingInTheMiddleOfARunIsRefused(t *testing.T) {
	m := loadModel(t, "qwen3", model.Options{})
	a := adapt(t, m)
	tr := trainer(t, m, "", 2)
	seqs, _ := text(0)
	_, err := tr.Step(t.Context(), seqs)
	must(t, err)
	must(t, a.Merge())
	if _, err := tr.Step(t.Context(), seqs); !says(err, "lora_A.weight changed from true to false since the run began") {
		t.Error(err)
	}
	before := sum(t, m)
	must(t, a.Unmerge())
	_, err = tr.Step(t.Context(), seqs)
	must(t, err)
	if sum(t, m) == before {
		t.Error("the step changed nothing")
	}
}
