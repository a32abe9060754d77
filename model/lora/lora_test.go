package lora

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

const golden = "../testdata/golden"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func says(err error, want string) bool { return err != nil && strings.Contains(err.Error(), want) }

// newCPU opens a CPU backend for the test.
func newCPU(t testing.TB) backend.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// loadModel loads a golden model.
func loadModel(t testing.TB, name string, o model.Options) *model.Model {
	t.Helper()
	m, _, err := model.Load(newCPU(t), filepath.Join(golden, name), model.LoadOptions{Options: o})
	must(t, err)
	t.Cleanup(m.Free)
	return m
}

// logits returns the logits of a sequence, with a row for each token but the last.
func logits(t testing.TB, m *model.Model, ids []int32) []float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: ids}}
	v, err := tensor.Logits(m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs))).Hidden, m.Head).Values()
	must(t, err)
	return v
}

// off returns the largest difference, relative to the largest value of want.
func off(got, want []float64) float64 {
	worst, largest := 0.0, 0.0
	for i, w := range want {
		worst, largest = max(worst, math.Abs(got[i]-w)), max(largest, math.Abs(w))
	}
	return worst / largest
}

// disturb sets the matrices B to nonzero values.
func disturb(t testing.TB, a *Adapters) {
	t.Helper()
	for _, p := range a.Params() {
		if strings.HasSuffix(p.Name, suffixB) {
			x := make([]float64, p.Len())
			for i := range x {
				x[i] = 0.2 * math.Sin(float64(i)+float64(len(p.Name)))
			}
			must(t, p.SetFloats(x))
		}
	}
}

var someIDs = []int32{3, 17, 40, 8, 8, 21, 5, 33, 2, 19, 46, 11}

var all = Config{Rank: 3, Alpha: 6, Targets: []string{AllLinear}, Seed: 1}

func TestFreshAdaptersChangeNoBit(t *testing.T) {
	for _, o := range []model.Options{
		{}, {DType: backend.F64}, {Precision: backend.BF16}, {Format: backend.BFloat16}, {Format: backend.Q8, Packed: true},
	} {
		m := loadModel(t, "qwen3", o)
		want := logits(t, m, someIDs)
		a, err := Attach(m, all)
		must(t, err)
		if got := logits(t, m, someIDs); !slices.Equal(got, want) {
			t.Errorf("%+v: logits differ by %g", o, off(got, want))
		}
		disturb(t, a)
		if got := logits(t, m, someIDs); off(got, want) < 1e-3 {
			t.Errorf("%+v: adapters have no effect", o)
		}
	}
}

// A is uniform within ±1/√in and depends only on the seed and the name; everything else is
// frozen.
func TestAttachDrawsAndFreezes(t *testing.T) {
	m := loadModel(t, "llama3_scaling", model.Options{})
	a, err := Attach(m, all)
	must(t, err)
	c := all
	c.Targets, c.Layers = []string{"self_attn.v_proj", "layers.1.mlp.up_proj"}, []int{1}
	few, err := Attach(loadModel(t, "llama3_scaling", model.Options{}), c)
	must(t, err)
	want := []string{"model.layers.1.self_attn.v_proj", "model.layers.1.mlp.up_proj"}
	if !slices.Equal(few.Names(), want) {
		t.Errorf("%v, want %v", few.Names(), want)
	}
	if n := len(a.Names()); n != 14 {
		t.Errorf("%d projections, want 14", n)
	}
	for _, p := range m.Params.All() {
		if p.Trainable != (p.Kind == tensor.KindAdapter) {
			t.Errorf("%s: trainable %t", p.Name, p.Trainable)
		}
	}
	for _, p := range few.Params() {
		x, err := p.Floats()
		must(t, err)
		same, err := m.Params.Get(p.Name).Floats()
		must(t, err)
		if !slices.Equal(x, same) {
			t.Errorf("%s depends on other adapters", p.Name)
		}
		if strings.HasSuffix(p.Name, suffixB) {
			if slices.Max(x) != 0 || slices.Min(x) != 0 {
				t.Errorf("%s is not zero", p.Name)
			}
			continue
		}
		bound, square := 1/math.Sqrt(float64(p.Shape()[1])), 0.0
		for _, v := range x {
			square += v * v / float64(len(x))
		}
		if slices.Max(x) > bound || slices.Min(x) < -bound || math.Abs(math.Sqrt(3*square)/bound-1) > 0.2 {
			t.Errorf("%s: values %g to %g of deviation %g, want uniform within ±%g", p.Name, slices.Min(x), slices.Max(x),
				math.Sqrt(square), bound)
		}
	}
}

func TestMergedModelComputesTheSame(t *testing.T) {
	m := loadModel(t, "qwen2_tied", model.Options{})
	base := logits(t, m, someIDs)
	a, err := Attach(m, all)
	must(t, err)
	disturb(t, a)
	want := logits(t, m, someIDs)
	dir := filepath.Join(t.TempDir(), "model")
	if err := model.Save(dir, m, model.SaveOptions{}); !says(err, "q_proj.weight has an adapter: merge it first") {
		t.Errorf("Save before Merge: %v", err)
	}
	if err := a.Unmerge(); !says(err, "not merged") {
		t.Errorf("Unmerge: %v", err)
	}
	must(t, a.Merge())
	if got := logits(t, m, someIDs); off(got, want) > 1e-5 || off(got, base) < 1e-3 {
		t.Errorf("merged: differs by %g, and from the base model by %g", off(got, want), off(got, base))
	}
	if err := a.Merge(); !says(err, "merged already") {
		t.Errorf("Merge again: %v", err)
	}
	must(t, model.Save(dir, m, model.SaveOptions{}))
	saved, source, err := model.Load(m.Backend(), dir, model.LoadOptions{})
	must(t, err)
	defer saved.Free()
	if got := logits(t, saved, someIDs); !slices.Equal(got, logits(t, m, someIDs)) || len(source.Unclaimed) > 0 {
		t.Errorf("saved: off by %g; tensors %v", off(got, want), source.Unclaimed)
	}
	must(t, a.Unmerge())
	if got := logits(t, m, someIDs); off(got, want) > 1e-5 {
		t.Errorf("unmerged: off by %g", off(got, want))
	}
	for _, x := range a.list {
		x.linear.Adapter = nil
	}
	if got := logits(t, m, someIDs); off(got, base) > 1e-6 {
		t.Errorf("the weights after Unmerge: off by %g", off(got, base))
	}
}

func TestPackedWeightsRefuseMerging(t *testing.T) {
	m := loadModel(t, "qwen3", model.Options{Format: backend.Q4, Packed: true})
	a, err := Attach(m, all)
	must(t, err)
	if err := a.Merge(); !says(err, "model.layers.0.self_attn.q_proj.weight is packed as q4") {
		t.Error(err)
	}
}

func TestAttachRefuses(t *testing.T) {
	with := func(change func(c *Config)) Config {
		c := all
		change(&c)
		return c
	}
	targets := func(names ...string) Config { return with(func(c *Config) { c.Targets = names }) }
	const moe = "deepseek_v3_plain_query"
	for _, c := range []struct {
		model   string
		options model.Options
		config  Config
		want    string
	}{
		{moe, model.Options{}, with(func(c *Config) { c.Rank = 0 }), "Config.Rank is 0"},
		{moe, model.Options{}, with(func(c *Config) { c.Alpha = math.NaN() }), "Config.Alpha is NaN"},
		{moe, model.Options{}, with(func(c *Config) { c.Targets = nil }), "Config.Targets is empty"},
		{moe, model.Options{}, with(func(c *Config) { c.Layers = []int{3} }),
			"Config.Layers has 3, the model has layers 0 to 2"},
		{moe, model.Options{}, targets("q_proj", "proj"),
			`target "proj" names nothing in the layers; their projections are down_proj, gate_proj`},
		{moe, model.Options{}, targets("lm_head"), `target "lm_head" names nothing`},
		{moe, model.Options{}, targets("up_proj"),
			`target "up_proj" names the routed experts model.layers.1.mlp.experts.*.up_proj`},
		{moe, model.Options{Absorbed: true}, targets("kv_b_proj"),
			"kv_b_proj: the absorbed form of MLA supports no adapter on it"},
		{"qwen3", model.Options{Format: backend.Q8, Tables: backend.Q8, Packed: true}, all,
			"lm_head.weight is packed as q8, which has no backward pass: load the model with Options.Tables Native"},
	} {
		m := loadModel(t, c.model, c.options)
		before := fmt.Sprint(len(m.Params.All()), m.Norm.Trainable)
		if _, err := Attach(m, c.config); !says(err, c.want) {
			t.Errorf("%v: got %v, want %s", c.config, err, c.want)
		}
		if after := fmt.Sprint(len(m.Params.All()), m.Norm.Trainable); after != before {
			t.Errorf("%s: the model has changed", c.want)
		}
	}
	m := loadModel(t, moe, model.Options{})
	_, err := Attach(m, targets("shared_experts.up_proj", "o_proj"))
	must(t, err)
	if _, err := Attach(m, all); !says(err, "the model has adapters already, such as model.layers.0.self_attn.o_proj") {
		t.Error(err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	for _, c := range []Config{
		all,
		{Rank: 2, Alpha: 3, RSLoRA: true, Targets: []string{"q_proj", "o_proj"}, Seed: 2},
		{Rank: 1, Alpha: 1, Targets: []string{"v_proj"}, Layers: []int{1}, Seed: 3},
	} {
		m := loadModel(t, "qwen3", model.Options{})
		a, err := Attach(m, c)
		must(t, err)
		disturb(t, a)
		dir := filepath.Join(t.TempDir(), "adapter")
		for range 2 {
			must(t, a.Save(dir, "org/base"))
		}
		other := loadModel(t, "qwen3", model.Options{})
		loaded, err := Load(other, dir)
		must(t, err)
		if !slices.Equal(logits(t, other, someIDs), logits(t, m, someIDs)) {
			t.Errorf("%+v: logits differ", c)
		}
		if got, want := loaded.Config, c; got.Rank != want.Rank || got.Alpha != want.Alpha || got.RSLoRA != want.RSLoRA ||
			!slices.Equal(loaded.Names(), a.Names()) || !slices.Equal(got.Targets, a.targets()) {
			t.Errorf("loaded %+v, saved %+v", got, want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	from := func(t *testing.T, change func(config string) string) string {
		dir := t.TempDir()
		text, err := os.ReadFile("testdata/llama3_scaling/" + configFile)
		must(t, err)
		changed := change(string(text))
		if changed == string(text) {
			t.Fatal("nothing changed")
		}
		must(t, os.WriteFile(filepath.Join(dir, configFile), []byte(changed), 0o666))
		data, err := os.ReadFile("testdata/llama3_scaling/" + tensorsFile)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, tensorsFile), data, 0o666))
		return dir
	}
	for _, c := range []struct{ old, new, want string }{
		{`"use_dora": false`, `"use_dora": true`, "adapter_config.json: use_dora is true, which is not supported"},
		{`"modules_to_save": null`, `"modules_to_save": ["lm_head"]`, `modules_to_save is ["lm_head"]`},
		{`"rank_pattern": {}`, `"rank_pattern": {"q_proj": 8}`, `rank_pattern is {"q_proj": 8}`},
		{`"bias": "none"`, `"bias": "all"`, `bias is "all", want none`},
		{`"init_lora_weights": true`, `"init_lora_weights": "pissa"`, `init_lora_weights is "pissa"`},
		{`"peft_type": "LORA"`, `"peft_type": "LOHA"`, `peft_type is "LOHA"`},
		{`"r": 4`, `"r": 5`, `.lora_A.weight" is [4 32], want [5 32]`},
		{`"r": 4`, `"r": -4`, "Rank is -4"},
		{`"r": 4`, `"r": "4"`, "adapter_config.json: json"},
		{`{`, ``, "adapter_config.json: "},
		{`"velora_config": null`, `"of_the_future": 1`, "of_the_future is 1"},
	} {
		m := loadModel(t, "llama3_scaling", model.Options{})
		dir := from(t, func(s string) string { return strings.Replace(s, c.old, c.new, 1) })
		if _, err := Load(m, dir); !says(err, c.want) || !says(err, dir) {
			t.Errorf("%s: got %v, want %s", c.new, err, c.want)
		}
	}
	if _, err := Load(loadModel(t, "qwen3", model.Options{}), "testdata/deepseek_v3_plain_query"); !says(err,
		`tensor "base_model.model.model.layers.1.self_attn.kv_a_proj_with_mqa.lora_A.weight" does not belong to a `+
			"projection") {
		t.Error(err)
	}
}
