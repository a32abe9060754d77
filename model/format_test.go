package model_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// scores returns the log-probability of every token of a sequence after the first, computed
// from the logits of m.
func scores(t *testing.T, m *model.Model, ids []int32) []float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: ids}}
	batch := m.NewBatch(s, seqs, model.Totals(seqs))
	out := m.Forward(s, batch)
	logits, err := tensor.Logits(out.Hidden, m.Head).Values()
	if err != nil {
		t.Fatal(err)
	}
	v := m.Config.VocabSize
	var lp []float64
	for i := range len(ids) - 1 {
		row, sum := logits[i*v:][:v], 0.0
		for _, x := range row {
			sum += math.Exp(x)
		}
		lp = append(lp, row[ids[i+1]]-math.Log(sum))
	}
	return lp
}

// A packed model gives the results of its unpacked original up to the rounding of the
// format, and each format gives different results.
func TestPackedModelStaysCloseToItsMaster(t *testing.T) {
	b := open(t)
	cfg := model.Tiny(32)
	cfg.InitializerRange = 0.1 // large enough to make the logits differ from one another
	ids := []int32{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9}
	const seeds = 8
	var want [seeds][]float64
	for seed := range want {
		master, err := model.New(b, cfg, uint64(seed))
		must(t, err)
		want[seed] = scores(t, master, ids)
		master.Free()
	}
	last := 0.0
	for _, c := range []struct {
		format backend.Format
		within float64
	}{{backend.Native, 1e-5}, {backend.BFloat16, 0.1}, {backend.Q8, 0.25}, {backend.FP8, 0.6}, {backend.Q4, 1}} {
		mean := 0.0 // mean over the seeds of the root mean square error
		var m *model.Model
		for seed := range want {
			if m != nil {
				m.Free()
			}
			var err error
			m, err = model.NewWith(b, cfg, uint64(seed), model.Options{Format: c.format, Packed: true})
			must(t, err)
			sum := 0.0
			for i, lp := range scores(t, m, ids) {
				sum += (lp - want[seed][i]) * (lp - want[seed][i])
			}
			mean += math.Sqrt(sum/float64(len(ids)-1)) / seeds
		}
		if !(mean <= c.within) || mean <= last && c.format != backend.Native {
			t.Errorf("%s: the log-probabilities have an error of %.3g, want at most %g and more than the %.3g "+
				"of the finer format", c.format, mean, c.within, last)
		}
		last = mean
		g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2, MaxLen: 32})
		must(t, err)
		outs, err := g.Generate(context.Background(), []model.Request{{Prompt: ids[:4], MaxTokens: 8}, {Prompt: ids[:7],
			MaxTokens: 8}})
		must(t, err)
		if len(outs[0].Tokens) != 8 || len(outs[1].Tokens) != 8 {
			t.Errorf("%s: generated %d and %d tokens", c.format, len(outs[0].Tokens), len(outs[1].Tokens))
		}
		g.Close()
		m.Free()
	}
}

func TestPackedModelRefusesToTrain(t *testing.T) {
	b := open(t)
	m, err := model.NewWith(b, model.Tiny(32), 1, model.Options{Format: backend.Q8, Packed: true})
	must(t, err)
	w := m.Params.Get("model.layers.0.self_attn.o_proj.weight")
	if w.Trainable || !w.Packed() {
		t.Errorf("trainable %v, packed %v", w.Trainable, w.Packed())
	}
	if _, err := w.Grad(); err == nil || !strings.Contains(err.Error(), "o_proj.weight is packed as q8") {
		t.Errorf("Grad: error %v", err)
	}
	if dense := w.Len() * 4; w.Bytes() > dense/3 {
		t.Errorf("packed in %d bytes, the F32 matrix has %d", w.Bytes(), dense)
	}
}

// Q8 and Q4 exist only as packed formats: training needs an unpacked matrix.
func TestQuantisedMasterCannotTrain(t *testing.T) {
	b := open(t)
	m, err := model.NewWith(b, model.Tiny(32), 1, model.Options{Format: backend.Q8})
	if err == nil {
		m.Free()
		t.Fatal("New made an unpacked Q8 model")
	}
	if !strings.Contains(err.Error(), "q8") || !strings.Contains(err.Error(), "Packed") {
		t.Errorf("error %v, want it to name the format and Packed", err)
	}
}

// For every format, a model made without values that then loads a checkpoint has the bits
// of a model that was initialized with the same weights and packed them.
func TestCheckpointLoadsIntoAModelOfAnyFormat(t *testing.T) {
	b := open(t)
	cfg := model.Tiny(32)
	ids := []int32{3, 1, 4, 1, 5, 9, 2, 6}
	master, err := model.New(b, cfg, 3)
	must(t, err)
	path := filepath.Join(t.TempDir(), checkpoint.SingleFile)
	must(t, checkpoint.WriteAtomic(path, func(w io.Writer) error {
		return checkpoint.Write(w,
			checkpoint.Tensors(master.Params.All()), nil)
	}))
	for _, f := range backend.Formats() {
		for _, tables := range []backend.Format{backend.Native, f} {
			for _, packed := range []bool{false, true} {
				if f.ForwardOnly && !packed {
					continue
				}
				o := model.Options{Format: f, Tables: tables, Packed: packed}
				half := o
				half.Precision = backend.BF16
				drawn, err := model.NewWith(b, cfg, 3, half)
				must(t, err)
				if got := scores(t, drawn, ids); slices.ContainsFunc(got, func(x float64) bool { return x != x }) {
					t.Errorf("%s, tables %s, packed %t, activations in BF16: scores %v", f, tables, packed, got)
				}
				drawn.Free()
				drawn, err = model.NewWith(b, cfg, 3, o)
				must(t, err)
				o.Uninitialized = true
				loaded, err := model.NewWith(b, cfg, 0, o)
				must(t, err)
				func() {
					defer func() {
						if text := fmt.Sprint(recover()); !strings.Contains(text, "model.embed_tokens.weight has no values yet") {
							t.Errorf("a model that is used before it was loaded panics with %s", text)
						}
					}()
					scores(t, loaded, ids)
				}()
				unclaimed, err := checkpoint.Load(path, loaded.Params.All())
				must(t, err)
				if len(unclaimed) > 0 {
					t.Errorf("%s: unclaimed %v", f, unclaimed)
				}
				if got, want := scores(t, loaded, ids), scores(t, drawn, ids); !slices.Equal(got, want) {
					t.Errorf("%s, tables %s, packed %t: scores %v, want %v", f, tables, packed, got, want)
				}
				drawn.Free()
				loaded.Free()
			}
		}
	}
}
