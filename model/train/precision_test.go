package train

import (
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// The test compares the peak memory of a step's activations, and of everything, in BF16
// with BF16 moments with that in F32, on a dense model of 4 layers of width 128.
func TestAStepInBF16TakesHalfTheMemory(t *testing.T) {
	config := model.Config{
		ModelType: model.TypeLlama, VocabSize: 256, HiddenSize: 128, IntermediateSize: 352, NumHiddenLayers: 4,
		NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 64, MaxPositionEmbeddings: 64, HiddenAct: "silu",
		RMSNormEps: 1e-6, InitializerRange: 0.02, RoPETheta: 1e4,
	}
	r := rand.New(rand.NewPCG(1, 0))
	var seqs []model.Sequence
	for range 16 {
		ids := make([]int32, 65)
		for j := range ids {
			ids[j] = r.Int32N(256)
		}
		seqs = append(seqs, model.Sequence{IDs: ids})
	}
	var activations, all [2]float64
	for i, precision := range []backend.DType{backend.F32, backend.BF16} {
		b := newCPU(t)
		_, before := b.MemInfo()
		m, err := model.NewWith(b, config, 1, model.Options{Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Free()
		tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-4, BF16Moments: precision == backend.BF16}}
		defer tr.Close()
		if _, err := tr.Step(t.Context(), seqs); err != nil {
			t.Fatal(err)
		}
		_, after := b.MemInfo()
		activations[i], all[i] = float64(tr.scope.PeakBytes()), float64(before-after)
	}
	t.Logf("activations %.0f and %.0f bytes, all %.0f and %.0f", activations[0], activations[1], all[0], all[1])
	if activations[1] > 0.55*activations[0] || all[1] > 0.7*all[0] {
		t.Errorf("activations %.3f of F32's, want at most 0.55; the whole step %.3f, want at most 0.7",
			activations[1]/activations[0], all[1]/all[0])
	}
}
