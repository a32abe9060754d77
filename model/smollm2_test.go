package model_test

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// SmolLM2-135M-Instruct, a GGUF of Q4_1 and Q8_0, computes what transformers does with the
// same F32 weights: logits within 1e-5 of the largest, and the greedy continuations of 50
// prompts, up to the first token whose margin is below 1e-3. See testdata/smollm2.py.
func TestSmolLM2AgreesWithTransformers(t *testing.T) {
	path := os.Getenv("AHA_SMOLLM2")
	if path == "" {
		t.Skip("AHA_SMOLLM2 names no GGUF file of SmolLM2-135M-Instruct, which .ci/run fetches")
	}
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
	m, _, err := model.Load(open(t), path, model.LoadOptions{})
	must(t, err)
	defer m.Free()
	const tokens = 40
	var requests []model.Request
	full := 0
	for n := 0; want[fmt.Sprint("ids.", n)] != nil; n++ {
		ids := toInts(want[fmt.Sprint("ids.", n)])
		if logits := want[fmt.Sprint("logits.", n)]; logits != nil {
			full++
			smolLogits(t, m, ids, logits, want[fmt.Sprint("most.", n)][0])
		}
		requests = append(requests, model.Request{Prompt: ids[:len(ids)-tokens], MaxTokens: tokens, Stop: []int32{},
			Sampling: model.Sampling{Greedy: true}})
	}
	if len(requests) != 50 || full != 4 {
		t.Fatalf("%d prompts, %d with logits, want 50 and 4", len(requests), full)
	}
	g, err := model.NewGenerator(m, model.GeneratorOptions{MaxLen: 256})
	must(t, err)
	defer g.Close()
	completions, err := g.Generate(t.Context(), requests)
	must(t, err)
	compared := 0
	for n, c := range completions {
		ids, margin := toInts(want[fmt.Sprint("ids.", n)]), want[fmt.Sprint("margin.", n)]
		for i, id := range ids[len(ids)-tokens:] {
			if margin[i] < 1e-3 {
				break
			}
			if compared++; c.Tokens[i] != id {
				t.Errorf("prompt %d: token %d is %d, want %d with a margin of %g", n, i, c.Tokens[i], id, margin[i])
				break
			}
		}
	}
	t.Logf("%d of %d greedy tokens were compared", compared, tokens*len(requests))
	if compared < tokens*len(requests)*9/10 {
		t.Errorf("%d greedy tokens were compared", compared)
	}
}

// smolLogits compares each 509th logit of each position but the last, after which nothing
// is predicted.
func smolLogits(t *testing.T, m *model.Model, ids []int32, want []float64, most float64) {
	t.Helper()
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
	t.Logf("%d tokens: logits differ by %.2g of the largest", len(ids), worst/most)
	if !(worst <= 1e-5*most) {
		t.Errorf("logits differ by %g of the largest, %g", worst/most, most)
	}
}
