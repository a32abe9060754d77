package model_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// goldenF32 is the number of models that testdata/generate_f32.py makes. They cover every
// pair of values of: family, dtype of the files, query compression, RoPE scaling, expert
// groups, tied embeddings, and spelling of config.json.
const goldenF32 = 21

// loadF32 loads a folder as save_pretrained wrote it, with its MTP modules if the expected
// values include their loss.
func (g golden) loadF32(t *testing.T) (*model.Model, *mtp.MTP) {
	t.Helper()
	var o model.LoadOptions
	var d *mtp.MTP
	if g.values["loss"][1] != 0 {
		o.Modules = func(m *model.Model) (err error) {
			d, err = mtp.New(m)
			return err
		}
	}
	m, source, err := model.Load(open(t), g.dir, o)
	must(t, err)
	t.Cleanup(m.Free)
	if len(source.Unclaimed) > 0 {
		t.Errorf("tensors without a parameter of their name: %v", source.Unclaimed)
	}
	if d != nil {
		d.Lambda = goldenLambda
	}
	return m, d
}

func TestLoadedFoldersEqualTransformers(t *testing.T) {
	files, err := filepath.Glob("testdata/golden_f32/*/expected.safetensors")
	must(t, err)
	if len(files) != goldenF32 {
		t.Fatalf("%d models in testdata/golden_f32, want %d", len(files), goldenF32)
	}
	for _, file := range files {
		g := readGolden(t, filepath.Dir(file))
		t.Run(filepath.Base(g.dir), func(t *testing.T) {
			m, d := g.loadF32(t)
			s := tensor.NewScope(m.Backend(), tensor.Options{Grad: true})
			defer s.Close()
			b := m.NewBatch(s, g.sequences, model.Totals(g.sequences))
			out := m.Forward(s, b)
			loss := tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, out.LogProbs(b.Targets))))
			terms := []tensor.Tensor{loss, s.Full(m.Params.DType(), 0, 1)}
			if d != nil {
				terms[1], _ = d.Loss(s, out, b)
				loss = tensor.Add(loss, terms[1])
			}
			g.compareLogits(t, m, out, 1e-5)
			g.compareLosses(t, terms, 1e-5)
			if sd := deviation(g.values["logits"]); sd < 1 {
				t.Errorf("the logits' standard deviation is %.2f, want at least 1", sd)
			}
			must(t, s.Backward(loss))
			g.compareGradients(t, m, 1e-4)

			gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1})
			must(t, err)
			defer gen.Close()
			want := toInts(g.values["greedy"])
			done, err := gen.Generate(context.Background(), []model.Request{
				{Prompt: g.sequences[0].IDs[:goldenPrompt], MaxTokens: len(want), Stop: []int32{},
					Sampling: model.Sampling{Greedy: true}},
			})
			must(t, err)
			if len(want) != 64 || !slices.Equal(done[0].Tokens, want) {
				t.Errorf("tokens %v, want 64: %v", done[0].Tokens, want)
			}
		})
	}
}

// deviation is the standard deviation of v.
func deviation(v []float64) float64 {
	mean, sum := 0.0, 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(v)))
}
