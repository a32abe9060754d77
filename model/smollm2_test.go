package model_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// SmolLM2-135M-Instruct, in a GGUF file of Q4_1 and Q8_0, gives the results of transformers
// with the same F32 weights: logits within 1e-5 of the largest, and the same greedy
// continuations of 50 prompts, up to the first token whose margin is below 1e-3. See
// testdata/smollm2.py.
func TestSmolLM2AgreesWithTransformers(t *testing.T) {
	want := smolReference(t)
	m := smolModel(t, model.Options{})
	for n := range smolPrompts {
		if want[fmt.Sprint("logits.", n)] == nil {
			continue
		}
		if worst := smolLogits(t, m, want, n); !(worst <= 1e-5) {
			t.Errorf("prompt %d: logits differ by %g of the largest", n, worst)
		}
	}
	completions := smolGreedy(t, m, want)
	compared := 0
	for n, c := range completions {
		ids, margin := toInts(want[fmt.Sprint("ids.", n)]), want[fmt.Sprint("margin.", n)]
		for i, id := range ids[len(ids)-smolTokens:] {
			if margin[i] < 1e-3 {
				break
			}
			if compared++; c.Tokens[i] != id {
				t.Errorf("prompt %d: token %d is %d, want %d with a margin of %g", n, i, c.Tokens[i], id, margin[i])
				break
			}
		}
	}
	t.Logf("%d of %d greedy tokens were compared", compared, smolTokens*len(completions))
	if compared < smolTokens*len(completions)*9/10 {
		t.Errorf("%d greedy tokens were compared", compared)
	}
}

// In formats that keep the file's integers, only activations are rounded, to 8 bits as in
// Q8. Logits differ by up to 4.6% of the largest (measured on path amx); the test allows
// 8%. Greedy continuations diverge if the margin of transformers' token is below 0.3; the
// test allows 0.5.
func TestSmolLM2InTheFormatsOfItsFileIsNearTransformers(t *testing.T) {
	want := smolReference(t)
	exact := smolModel(t, model.Options{})
	m := smolModel(t, model.Options{Format: backend.Q4_1, Tables: backend.Q8, Packed: true})
	kept := 0
	for _, p := range m.Params.All() {
		if !p.Packed() {
			continue
		}
		kept++
		got, err := p.Floats()
		must(t, err)
		values, err := exact.Params.Get(p.Name).Floats()
		must(t, err)
		if !slices.Equal(got, values) {
			t.Errorf("%s in %s has other values than the file", p.Name, p.Format)
		}
	}
	if kept != 211 {
		t.Errorf("%d parameters are packed, want 210 in q4_1 and one in q8", kept)
	}
	for n := range smolPrompts {
		if want[fmt.Sprint("logits.", n)] == nil {
			continue
		}
		if worst := smolLogits(t, m, want, n); !(worst <= 0.08) {
			t.Errorf("prompt %d: logits differ by %g of the largest", n, worst)
		}
	}
	same, whole := 0, 0
	for n, c := range smolGreedy(t, m, want) {
		ids, i := toInts(want[fmt.Sprint("ids.", n)]), 0
		for _, id := range ids[len(ids)-smolTokens:] {
			if c.Tokens[i] != id {
				if margin := want[fmt.Sprint("margin.", n)][i]; margin >= 0.5 {
					t.Errorf("prompt %d: token %d is %d, want %d with a margin of %g", n, i, c.Tokens[i], id, margin)
				}
				break
			}
			i++
		}
		if same += i; i == smolTokens {
			whole++
		}
	}
	t.Logf("%d greedy tokens before the first other one, %d of %d continuations are the same", same, whole,
		smolPrompts)
	if same < smolTokens*smolPrompts/4 {
		t.Errorf("%d greedy tokens are the same", same)
	}
}

// smolPrompts is the number of prompts of the reference, smolTokens the number of greedy
// tokens that end each.
const smolPrompts, smolTokens = 50, 40

// smolReference reads testdata/smollm2.safetensors: 50 prompts, 4 of them with logits.
func smolReference(t *testing.T) map[string][]float64 {
	want := map[string][]float64{}
	for _, x := range readFile(t, "testdata/smollm2.safetensors") {
		if x.DType == "I32" {
			for i := range len(x.Data) / 4 {
				want[x.Name] = append(want[x.Name], backend.I32.Get(x.Data, i))
			}
		} else {
			want[x.Name] = valuesOf(x)
		}
	}
	full := 0
	for n := range smolPrompts {
		if want[fmt.Sprint("logits.", n)] != nil {
			full++
		}
	}
	if want[fmt.Sprint("ids.", smolPrompts-1)] == nil || want[fmt.Sprint("ids.", smolPrompts)] != nil || full != 4 {
		t.Fatalf("testdata/smollm2.safetensors has logits of %d prompts, want 4, or does not have %d prompts",
			full, smolPrompts)
	}
	return want
}

// smolModel loads the model in the file AHA_SMOLLM2.
func smolModel(t *testing.T, o model.Options) *model.Model {
	path := os.Getenv("AHA_SMOLLM2")
	if path == "" {
		t.Skip("AHA_SMOLLM2 names no GGUF file of SmolLM2-135M-Instruct, which .ci/run fetches")
	}
	m, _, err := model.Load(open(t), path, model.LoadOptions{Options: o})
	must(t, err)
	t.Cleanup(m.Free)
	return m
}

// smolGreedy returns the greedy continuations of the reference's prompts.
func smolGreedy(t *testing.T, m *model.Model, want map[string][]float64) []model.Completion {
	var requests []model.Request
	for n := range smolPrompts {
		ids := toInts(want[fmt.Sprint("ids.", n)])
		requests = append(requests, model.Request{Prompt: ids[:len(ids)-smolTokens], MaxTokens: smolTokens, Stop: []int32{},
			Sampling: model.Sampling{Greedy: true}})
	}
	g, err := model.NewGenerator(m, model.GeneratorOptions{MaxLen: 256})
	must(t, err)
	defer g.Close()
	completions, err := g.Generate(t.Context(), requests)
	must(t, err)
	return completions
}

// smolLogits returns the largest difference to the reference, relative to the largest
// logit. The reference has every 509th logit at each position of prompt n except the last.
func smolLogits(t *testing.T, m *model.Model, reference map[string][]float64, n int) float64 {
	t.Helper()
	ids, want := toInts(reference[fmt.Sprint("ids.", n)]), reference[fmt.Sprint("logits.", n)]
	most := reference[fmt.Sprint("most.", n)][0]
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: ids}}
	logits, err := tensor.Logits(m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs))).Hidden, m.Head).Values()
	must(t, err)
	const stride = 509
	vocab := m.Config.VocabSize
	row := (vocab + stride - 1) / stride
	if len(want) != len(ids)*row || len(logits) != (len(ids)-1)*vocab {
		t.Fatalf("%d logits of %d tokens, %d of the reference", len(logits), len(ids), len(want))
	}
	worst := 0.0
	for i := range len(ids) - 1 {
		for j := range row {
			worst = max(worst, math.Abs(logits[i*vocab+j*stride]-want[i*row+j]))
		}
	}
	t.Logf("prompt %d, %d tokens: logits differ by %.2g of the largest, %.3g", n, len(ids), worst/most, most)
	return worst / most
}
