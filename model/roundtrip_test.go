package model_test

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
)

// TestRoundTripThroughTransformers is run by testdata/roundtrip.py with the names of a
// folder written by transformers, of a folder to write, and of a dtype. It loads the first,
// makes one step of AdamW with learning rate 1e-5, saves the second, and writes logits and
// loss for comparison.
func TestRoundTripThroughTransformers(t *testing.T) {
	in, out := os.Getenv("AHA_ROUNDTRIP_IN"), os.Getenv("AHA_ROUNDTRIP_OUT")
	if in == "" {
		t.Skip("run by testdata/roundtrip.py")
	}
	m, source, err := model.Load(open(t), in, model.LoadOptions{})
	must(t, err)
	defer m.Free()
	ids := make([]int32, 24)
	for i := range ids {
		ids[i] = int32((7*i*i + 3*i + 1) % m.Config.VocabSize)
	}
	tr := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-5}, ClipNorm: math.Inf(1), BiasRate: train.Constant(0)}
	defer tr.Close()
	_, err = tr.Step(t.Context(), []model.Sequence{{IDs: ids}})
	must(t, err)
	dt := checkpoint.DType(os.Getenv("AHA_ROUNDTRIP_DTYPE"))
	must(t, model.Save(out, m, model.SaveOptions{Source: source, DType: dt}))
	// Compare the saved model, whose dtype may differ from that of m.
	again, _, err := model.Load(open(t), out, model.LoadOptions{})
	must(t, err)
	defer again.Free()
	s := tensor.NewScope(again.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: ids}}
	logits, err := tensor.Logits(again.Forward(s, again.NewBatch(s, seqs, model.Totals(seqs))).Hidden, again.Head).Values()
	must(t, err)
	data := make([]byte, 4*len(logits))
	for i, x := range logits {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(x)))
	}
	vocab := again.Config.VocabSize
	must(t, checkpoint.WriteAtomic(filepath.Join(filepath.Dir(out), "logits.safetensors"), func(w io.Writer) error {
		return checkpoint.Write(w, []checkpoint.Tensor{
			{Name: "logits", DType: checkpoint.F32, Shape: []int{len(logits) / vocab, vocab}, Data: data},
		}, nil)
	}))
}
