package lora

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// peftCases are the folders that testdata/generate.py wrote.
var peftCases = []string{"llama3_scaling", "qwen2_tied", "deepseek_v3_plain_query"}

// expected returns the values of a case's tensors.
func expected(t *testing.T, name string) map[string][]float64 {
	t.Helper()
	r, err := checkpoint.Open(filepath.Join("testdata", name, "expected.safetensors"))
	must(t, err)
	defer r.Close()
	all := map[string][]float64{}
	for _, info := range r.Tensors() {
		raw, err := r.Read(info.Name)
		must(t, err)
		for ; len(raw) > 0; raw = raw[info.DType.Size():] {
			v := 0.0
			switch info.DType {
			case checkpoint.F64:
				v = math.Float64frombits(binary.LittleEndian.Uint64(raw))
			case checkpoint.I32:
				v = float64(int32(binary.LittleEndian.Uint32(raw)))
			default:
				t.Fatalf("%s is %s", info.Name, info.DType)
			}
			all[info.Name] = append(all[info.Name], v)
		}
	}
	return all
}

// An adapter saved by PEFT gives the logits, the loss and the gradients of PEFT and
// transformers.
func TestLogitsAndGradientsEqualPEFT(t *testing.T) {
	for _, name := range peftCases {
		want := expected(t, name)
		var ids []int32
		for _, v := range want["ids"] {
			ids = append(ids, int32(v))
		}
		for _, c := range []struct {
			dt           backend.DType
			logits, grad float64
		}{{backend.F64, 1e-12, 1e-11}, {backend.F32, 1e-5, 1e-4}} {
			m := loadModel(t, name, model.Options{DType: c.dt})
			a, err := Load(m, filepath.Join("testdata", name))
			must(t, err)
			if d := off(logits(t, m, ids), want["logits"]); !(d <= c.logits) {
				t.Errorf("%s, %s: logits off by %.2e", name, c.dt, d)
			}
			s := tensor.NewScope(m.Backend(), tensor.Options{Grad: true, Trained: m.Params})
			defer s.Close()
			seqs := []model.Sequence{{IDs: ids}}
			b := m.NewBatch(s, seqs, model.Totals(seqs))
			loss := tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, m.Forward(s, b).LogProbs(b.Targets))))
			must(t, s.Backward(loss))
			if v, err := loss.Item(); err != nil || !(math.Abs(v-want["loss"][0]) <= c.logits*want["loss"][0]) {
				t.Errorf("%s, %s: loss %v, want %v; %v", name, c.dt, v, want["loss"][0], err)
			}
			for _, p := range a.Params() {
				g, err := p.Grad()
				must(t, err)
				got, err := s.Constant(g).Values()
				must(t, err)
				if d := off(got, want["grad."+prefix+p.Name]); !(d <= c.grad) {
					t.Errorf("%s, %s: gradient of %s off by %.2e", name, c.dt, p.Name, d)
				}
			}
			for _, p := range m.Params.All() {
				if p.HasGrad() != (p.Kind == tensor.KindAdapter) {
					t.Errorf("%s has a gradient: %t", p.Name, p.HasGrad())
				}
			}
			if err := a.Merge(); err != nil {
				t.Fatal(err)
			}
			if d := off(logits(t, m, ids), want["logits"]); !(d <= c.logits) {
				t.Errorf("%s, %s: merged logits differ by %.2e", name, c.dt, d)
			}
		}
	}
}
