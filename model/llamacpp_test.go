package model_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// TestLogitsBesideLlamaCpp is run by testdata/llamacpp.py with the name of a folder. It
// loads the folder's model.gguf in the formats f32 and q8, reads the sequences of ids.json,
// and writes their logits to logits.safetensors as "f32.N" and "q8.N", from the first
// position that ids.json gives for sequence N.
func TestLogitsBesideLlamaCpp(t *testing.T) {
	dir := os.Getenv("AHA_LLAMACPP")
	if dir == "" {
		t.Skip("run by testdata/llamacpp.py")
	}
	text, err := os.ReadFile(filepath.Join(dir, "ids.json"))
	must(t, err)
	var seqs []struct {
		IDs   []int32 `json:"ids"`
		First int     `json:"first"`
	}
	must(t, json.Unmarshal(text, &seqs))
	var list []checkpoint.Tensor
	for name, o := range map[string]model.Options{
		"f32": {}, "q8": {Format: backend.Q8, Tables: backend.Q8, Packed: true},
	} {
		m, _, err := model.Load(open(t), filepath.Join(dir, "model.gguf"), model.LoadOptions{Options: o})
		must(t, err)
		for n, q := range seqs {
			// Append a token, since NewBatch makes no row for the last one and q.IDs all
			// need logits.
			all := []model.Sequence{{IDs: append(q.IDs[:len(q.IDs):len(q.IDs)], 0)}}
			s := tensor.NewScope(m.Backend(), tensor.Options{})
			hidden := m.Forward(s, m.NewBatch(s, all, model.Totals(all))).Hidden
			values, err := tensor.Logits(hidden, m.Head).Values()
			must(t, err)
			s.Close()
			vocab := m.Config.VocabSize
			values = values[q.First*vocab:]
			data := make([]byte, 4*len(values))
			for i, x := range values {
				backend.F32.Put(data, i, x)
			}
			list = append(list, checkpoint.Tensor{Name: fmt.Sprintf("%s.%d", name, n), DType: checkpoint.F32,
				Shape: []int{len(values) / vocab, vocab}, Data: data})
		}
		m.Free()
	}
	must(t, checkpoint.WriteAtomic(filepath.Join(dir, "logits.safetensors"), func(w io.Writer) error {
		return checkpoint.Write(w, list, nil)
	}))
}
