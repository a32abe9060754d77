package model_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/mtp"
)

// golden holds what transformers computed for one tiny model; testdata/generate.py
// describes the files and the losses.
type golden struct {
	dir       string
	values    map[string][]float64
	sequences []model.Sequence
}

// These constants are those of generate.py.
const (
	goldenPrompt = 5
	goldenAlpha  = 0.05
	goldenLambda = 0.3
)

func goldenStride(size int) int { return (size + 47) / 48 }

func readGolden(t *testing.T, dir string) golden {
	t.Helper()
	r, err := checkpoint.Open(filepath.Join(dir, "expected.safetensors"))
	must(t, err)
	defer r.Close()
	g := golden{dir: dir, values: map[string][]float64{}}
	for _, info := range r.Tensors() {
		raw, err := r.Read(info.Name)
		must(t, err)
		v := make([]float64, len(raw)/info.DType.Size())
		for i := range v {
			switch info.DType {
			case checkpoint.F64:
				v[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
			case checkpoint.F32:
				v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
			case checkpoint.I32:
				v[i] = float64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
			default:
				t.Fatalf("%s: %s is %s", dir, info.Name, info.DType)
			}
		}
		g.values[info.Name] = v
	}
	for i := 0; g.values[fmt.Sprint("ids.", i)] != nil; i++ {
		q := model.Sequence{IDs: toInts(g.values[fmt.Sprint("ids.", i)])}
		for _, w := range g.values[fmt.Sprint("weight.", i)] {
			q.Weight = append(q.Weight, float32(w))
		}
		g.sequences = append(g.sequences, q)
	}
	return g
}

func toInts(v []float64) []int32 {
	out := make([]int32, len(v))
	for i, x := range v {
		out[i] = int32(x)
	}
	return out
}

// load makes the model of the case, with its MTP modules if it has any.
func (g golden) load(t *testing.T, b backend.Backend, o model.Options) (*model.Model, *mtp.MTP) {
	t.Helper()
	cfg, err := model.ReadConfig(filepath.Join(g.dir, "config.json"))
	must(t, err)
	m, err := model.NewWith(b, cfg, 1, o)
	must(t, err)
	t.Cleanup(m.Free)
	var d *mtp.MTP
	if cfg.NumNextNPredictLayers > 0 {
		d, err = mtp.New(m)
		must(t, err)
		d.Lambda = goldenLambda
	}
	unclaimed, err := checkpoint.Load(filepath.Join(g.dir, "model.safetensors"), m.Params.All())
	must(t, err)
	if len(unclaimed) > 0 {
		t.Errorf("tensors without a parameter of their name: %v", unclaimed)
	}
	return m, d
}

// losses returns main, MTP and balance loss of the case's batch.
func (g golden) losses(m *model.Model, d *mtp.MTP, s *tensor.Scope) (out model.Output, terms [3]tensor.Tensor) {
	b := m.NewBatch(s, g.sequences, model.Totals(g.sequences))
	out = m.Forward(s, b)
	terms[0] = tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, out.LogProbs(b.Targets))))
	terms[1] = s.Full(m.Params.DType(), 0, 1)
	if d != nil {
		terms[1], _ = d.Loss(s, out, b)
	}
	terms[2] = s.Full(m.Params.DType(), 0, 1)
	if m.Config.ModelType == model.TypeDeepSeekV3 {
		if l, ok := out.BalanceLoss(b, goldenAlpha); ok {
			terms[2] = l
		}
	}
	return out, terms
}

// goldenTolerance is the allowed error of a dtype against float64: for logits relative to
// the largest, for losses and the gradient of each tensor relative to its own size.
var goldenTolerance = map[backend.DType]struct{ logits, loss, grad float64 }{
	backend.F64: {1e-12, 1e-12, 1e-12},
	backend.F32: {1e-5, 1e-5, 1e-4},
}

func forEachGolden(t *testing.T, fn func(t *testing.T, b backend.Backend, g golden, o model.Options)) {
	dirs, err := filepath.Glob("testdata/golden/*/expected.safetensors")
	must(t, err)
	if len(dirs) < 8 {
		t.Fatalf("%d golden models in testdata/golden", len(dirs))
	}
	b := open(t)
	for _, path := range dirs {
		dir := filepath.Dir(path)
		g := readGolden(t, dir)
		for _, o := range []model.Options{
			{DType: backend.F64}, {DType: backend.F32}, {DType: backend.F64, Absorbed: true}, {DType: backend.F32,
				Absorbed: true},
		} {
			name, form := filepath.Base(dir), "naive"
			if o.Absorbed {
				if form = "absorbed"; !strings.HasPrefix(name, "deepseek") {
					continue
				}
			}
			t.Run(fmt.Sprintf("%s/%s/%s", name, o.DType, form), func(t *testing.T) { fn(t, b, g, o) })
		}
	}
}

func TestLogitsLossesAndGradientsEqualTransformers(t *testing.T) {
	forEachGolden(t, func(t *testing.T, b backend.Backend, g golden, o model.Options) {
		m, d := g.load(t, b, o)
		tolerance := goldenTolerance[o.DType]
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		defer s.Close()
		out, terms := g.losses(m, d, s)

		g.compareLogits(t, m, out, tolerance.logits)
		g.compareLosses(t, terms[:], tolerance.loss)
		must(t, s.Backward(tensor.Add(tensor.Add(terms[0], terms[1]), terms[2])))
		g.compareGradients(t, m, tolerance.grad)
	})
}

// compareLogits compares the logits of all sequences with the expected ones, relative to
// the largest.
func (g golden) compareLogits(t *testing.T, m *model.Model, out model.Output, tolerance float64) {
	t.Helper()
	logits, err := tensor.Logits(tensor.Detach(out.Hidden), m.Head).Values()
	must(t, err)
	want := g.values["logits"]
	if len(logits) != len(want) {
		t.Fatalf("%d logits, want %d", len(logits), len(want))
	}
	largest, worst := 0.0, 0.0
	for i, w := range want {
		largest, worst = max(largest, math.Abs(w)), max(worst, math.Abs(logits[i]-w))
	}
	t.Logf("logits: off by %.1e of %.1f", worst, largest)
	if !(worst <= tolerance*largest) {
		t.Errorf("a logit has an error of %.2e; the largest is %.2f", worst, largest)
	}
}

// compareLosses compares main, MTP and, if there is one, balance loss with the expected
// values, by relative error.
func (g golden) compareLosses(t *testing.T, terms []tensor.Tensor, tolerance float64) {
	t.Helper()
	names := []string{"main", "multi-token prediction", "balance"}
	for i, want := range g.values["loss"] {
		got, err := terms[i].Item()
		must(t, err)
		if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
			t.Errorf("%s loss: %.15g, want %.15g", names[i], got, want)
		}
	}
}

// compareGradients compares the gradient of every tensor of the files with the expected
// sample and norm; tensors without expected values must have no gradient.
func (g golden) compareGradients(t *testing.T, m *model.Model, tolerance float64) {
	t.Helper()
	worst, compared := 0.0, 0
	for _, p := range m.Params.All() {
		var grad []float64
		if p.HasGrad() {
			v, err := p.Grad()
			must(t, err)
			grad, err = backend.Values(m.Backend(), v)
			must(t, err)
		} else {
			grad = make([]float64, p.Len())
		}
		names := []string{p.Name}
		if strings.Contains(p.Name, "*") {
			names = nil
			for e := range p.Shape()[0] {
				names = append(names, strings.Replace(p.Name, "*", fmt.Sprint(e), 1))
			}
		}
		size := len(grad) / len(names)
		for i, name := range names {
			part, want := grad[i*size:(i+1)*size], g.values["grad."+name]
			if want == nil {
				if norm(part) != 0 {
					t.Errorf("%s: gradient of norm %.2e, want none", name, norm(part))
				}
				continue
			}
			compared++
			sample, wantNorm := want[:len(want)-1], want[len(want)-1]
			diff := 0.0
			for j, w := range sample {
				diff = math.Hypot(diff, part[j*goldenStride(size)]-w)
			}
			e := max(diff/norm(sample), math.Abs(norm(part)/wantNorm-1))
			if worst = max(worst, e); !(e <= tolerance) {
				t.Errorf("%s: gradient off by %.2e", name, e)
			}
		}
	}
	expected := 0
	for name := range g.values {
		if strings.HasPrefix(name, "grad.") {
			expected++
		}
	}
	if compared != expected {
		t.Errorf("%d gradients compared of %d", compared, expected)
	}
	t.Logf("gradients of %d tensors off by at most %.1e", compared, worst)
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

func TestGreedyCompletionEqualsTransformers(t *testing.T) {
	forEachGolden(t, func(t *testing.T, b backend.Backend, g golden, o model.Options) {
		m, _ := g.load(t, b, o)
		gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2})
		must(t, err)
		defer gen.Close()
		want := toInts(g.values["greedy"])
		out, err := gen.Generate(context.Background(), []model.Request{
			{Prompt: g.sequences[0].IDs[:goldenPrompt], MaxTokens: len(want), Stop: []int32{},
				Sampling: model.Sampling{Greedy: true}},
		})
		must(t, err)
		if !slices.Equal(out[0].Tokens, want) {
			t.Errorf("tokens %v, want %v", out[0].Tokens, want)
		}
	})
}

// A folder that save_pretrained wrote, including config.json, can be loaded as it is. A
// tensor missing from it is an error that names the tensor.
func TestMissingTensorIsNamed(t *testing.T) {
	b := open(t)
	cfg, err := model.ReadConfig("testdata/golden/qwen2_tied/config.json")
	must(t, err)
	cfg.TieWordEmbeddings = false
	m, err := model.New(b, cfg, 1)
	must(t, err)
	defer m.Free()
	_, err = checkpoint.Load("testdata/golden/qwen2_tied/model.safetensors", m.Params.All())
	if !errors.Is(err, checkpoint.ErrMissing) || !strings.Contains(err.Error(), "lm_head.weight") {
		t.Errorf("error %v, want one that lm_head.weight is missing", err)
	}
}

// modeling_deepseek.py of V2 scales the weights only if it does not normalise them; V3's
// always does. transformers' V2 does not support normalisation.
func TestV2ScalesOnlyWeightsThatAreNotNormalised(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		dir       string
		normalise bool
		topK      int
		want      float64
	}{
		{"deepseek_v2_groups", false, 2, 4},
		{"deepseek_v2_groups", true, 2, 1},
		{"deepseek_v2_groups", true, 1, 4}, // nothing to normalise
		{"deepseek_v3_mtp", true, 2, 2.5},
		{"deepseek_v3_mtp", false, 2, 2.5},
	} {
		cfg, err := model.ReadConfig(filepath.Join("testdata/golden", c.dir, "config.json"))
		must(t, err)
		cfg.NormTopKProb, cfg.NumExpertsPerTok = c.normalise, c.topK
		m, err := model.New(b, cfg, 1)
		must(t, err)
		got := m.Blocks[1].(*model.Layer).MoE.Config
		if normalise := c.normalise && c.topK > 1; got.Scale != c.want || got.Normalize != normalise {
			t.Errorf("%s, norm_topk_prob %v, top %d: normalised %v, scale %v, want %v, %v", c.dir, c.normalise, c.topK,
				got.Normalize, got.Scale, normalise, c.want)
		}
		m.Free()
	}
}
