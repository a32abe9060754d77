package model_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
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

// saved returns the values of a tensor of a folder, multiplied by its scales.
func saved(t *testing.T, dir, name string) (values []float32, dt checkpoint.DType) {
	t.Helper()
	r, err := checkpoint.Open(dir)
	must(t, err)
	defer r.Close()
	rows, err := r.Rows(name, [2]int{})
	must(t, err)
	n := 1
	for _, d := range rows.Shape {
		n *= d
	}
	values = make([]float32, n)
	must(t, rows.Read(0, values))
	info, _ := r.Lookup(name)
	return values, info.DType
}

// tensorNames returns the names of the tensors in a folder.
func tensorNames(t *testing.T, dir string) []string {
	t.Helper()
	r, err := checkpoint.Open(dir)
	must(t, err)
	defer r.Close()
	var names []string
	for _, info := range r.Tensors() {
		names = append(names, info.Name)
	}
	return names
}

// rawConfig decodes a folder's config.json without this package.
func rawConfig(t *testing.T, dir string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	must(t, err)
	var keys map[string]any
	must(t, json.Unmarshal(text, &keys))
	return keys
}

func newTiny(t *testing.T, cfg model.Config, o model.Options) *model.Model {
	t.Helper()
	m, err := model.NewWith(open(t), cfg, 3, o)
	must(t, err)
	t.Cleanup(m.Free)
	return m
}

func floats32(t *testing.T, p *tensor.Param) []float32 {
	t.Helper()
	x, err := p.Floats()
	must(t, err)
	y := make([]float32, len(x))
	for i := range x {
		y[i] = float32(x[i])
	}
	return y
}

// A tiny DeepSeek-V3, whose preset describes FP8 weights, is saved as the F32 that it
// holds, whatever its config says, and an update too small for BF16 is preserved.
func TestSavedModelIsWhatItsConfigSays(t *testing.T) {
	cfg := model.Tiny(32)
	cfg.DType, cfg.Quantization = model.DeepSeekV3().DType, model.DeepSeekV3().Quantization
	if cfg.DType != "bfloat16" || cfg.Quantization == nil {
		t.Fatalf("the preset of V3 is of %s", cfg.DType)
	}
	m := newTiny(t, cfg, model.Options{})
	for _, p := range m.Params.All() { // imitate weights that were read in BF16 and then changed by 1e-5
		x, err := p.Floats()
		must(t, err)
		for i := range x {
			x[i] = backend.BF16.Round(x[i]) + 1e-5
		}
		must(t, p.SetFloats(x))
	}
	dir := filepath.Join(t.TempDir(), "parent", "model")
	must(t, model.Save(dir, m, model.SaveOptions{}))
	keys := rawConfig(t, dir)
	if keys["torch_dtype"] != "float32" || keys["quantization_config"] != nil {
		t.Errorf("config of %v, quantised %v", keys["torch_dtype"], keys["quantization_config"])
	}
	again := newTiny(t, cfg, model.Options{Uninitialized: true})
	unclaimed, err := checkpoint.Load(dir, again.Params.All())
	must(t, err)
	if len(unclaimed) > 0 {
		t.Errorf("more tensors than parameters: %v", unclaimed)
	}
	for _, p := range m.Params.All() {
		if got, want := floats32(t, again.Params.Get(p.Name)), floats32(t, p); !slices.Equal(got, want) {
			t.Errorf("%s changed", p.Name)
		}
	}
	// In BF16 the update is lost.
	must(t, model.Save(dir, m, model.SaveOptions{DType: checkpoint.BF16}))
	if got := rawConfig(t, dir)["torch_dtype"]; got != "bfloat16" {
		t.Errorf("BF16 is called %v", got)
	}
	norm, _ := saved(t, dir, "model.norm.weight")
	for i, got := range norm {
		if want := backend.BF16.Round(float64(floats32(t, m.Norm)[i])); float64(got) != want {
			t.Fatalf("norm %d is %v, want %v", i, got, want)
		}
	}
	if _, dt := saved(t, dir, "model.layers.1.mlp.gate.e_score_correction_bias"); dt != checkpoint.F32 {
		t.Errorf("selection bias in %s", dt)
	}
}

// The kind that a Hugging Face name implies is the kind of the parameter.
func TestKindsByNameAreThoseOfParameters(t *testing.T) {
	qwen := model.Qwen3_30B_A3B()
	qwen.NumHiddenLayers, qwen.HiddenSize, qwen.NRoutedExperts, qwen.VocabSize = 1, 64, 8, 32
	biased := model.R1DistillQwen1_5B()
	biased.NumHiddenLayers, biased.VocabSize = 1, 32
	seen := map[tensor.Kind]bool{}
	for _, cfg := range []model.Config{model.Tiny(32), qwen, biased} {
		cfg.BOSTokenID, cfg.EOSTokenID = nil, nil
		m := newTiny(t, cfg, model.Options{})
		if cfg.NumNextNPredictLayers > 0 {
			_, err := mtp.New(m)
			must(t, err)
		}
		for i, r := range checkpoint.ParamRows(m.Params.All()) {
			if got := checkpoint.KindOf(r.Name, len(r.Shape)); got != r.Kind {
				t.Errorf("%s: tensor %d, %s %v, is of kind %s, by its name %s", cfg.ModelType, i, r.Name, r.Shape, r.Kind, got)
			}
			seen[r.Kind] = true
		}
	}
	for _, k := range []tensor.Kind{tensor.KindMatrix, tensor.KindEmbedding, tensor.KindRouter, tensor.KindExperts,
		tensor.KindGain, tensor.KindBias, tensor.KindSelection, tensor.KindJoin} {
		if !seen[k] {
			t.Errorf("no parameter is of kind %s", k)
		}
	}
}

// Only the matrices that V3 stores in FP8 become FP8, and their values are those of a model
// packed in FP8, bit for bit.
func TestSaveInFP8(t *testing.T) {
	cfg := model.Tiny(32)
	cfg.InitializerRange = 0.1
	m := newTiny(t, cfg, model.Options{})
	_, err := mtp.New(m)
	must(t, err)
	packed := newTiny(t, cfg, model.Options{Format: backend.FP8, Packed: true})
	_, err = mtp.New(packed)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "model")
	must(t, model.Save(dir, m, model.SaveOptions{DType: checkpoint.F8E4M3}))
	read, err := model.ReadConfig(filepath.Join(dir, "config.json"))
	must(t, err)
	if q := read.Quantization; q == nil || q.Fmt != "e4m3" || !slices.Equal(q.WeightBlockSize, []int{128, 128}) {
		t.Errorf("quantization_config %+v", q)
	}
	kinds := map[checkpoint.DType][]string{}
	for _, name := range tensorNames(t, dir) {
		if strings.HasSuffix(name, "_scale_inv") {
			continue
		}
		_, dt := saved(t, dir, name)
		kinds[dt] = append(kinds[dt], name)
	}
	for _, name := range kinds[checkpoint.F8E4M3] {
		p := packed.Params.Get(name)
		if p == nil { // one expert of a stack
			continue
		}
		want := floats32(t, p)
		if got, _ := saved(t, dir, name); !slices.Equal(got, want) {
			t.Errorf("%s differs from the packed model", name)
		}
	}
	all := strings.Join(kinds[checkpoint.BF16], " ")
	for _, part := range []string{"embed_tokens", "lm_head", "input_layernorm", "mlp.gate.weight", "eh_proj",
		"kv_a_layernorm"} {
		if !strings.Contains(all, part) {
			t.Errorf("%s is not among those in BF16: %v", part, all)
		}
	}
	all = strings.Join(kinds[checkpoint.F8E4M3], " ")
	for _, part := range []string{"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj",
		"mlp.experts.3.down_proj", "shared_experts.up_proj", "layers.0.mlp.gate_proj"} {
		if !strings.Contains(all, part) {
			t.Errorf("%s is not among those in FP8: %v", part, all)
		}
	}
	for _, name := range kinds[checkpoint.F32] {
		if !strings.HasSuffix(name, ".e_score_correction_bias") {
			t.Errorf("%s is F32", name)
		}
	}
	// A packed model saved in FP8 has the same elements; saved in F32 it has the same
	// values.
	fromPacked := filepath.Join(t.TempDir(), "model")
	for _, dt := range []checkpoint.DType{checkpoint.F8E4M3, checkpoint.F32} {
		must(t, model.Save(fromPacked, packed, model.SaveOptions{DType: dt}))
		for _, name := range kinds[checkpoint.F8E4M3] {
			want, _ := saved(t, dir, name)
			if got, have := saved(t, fromPacked, name); !slices.Equal(got, want) || have != dt {
				t.Errorf("%s from a packed model as %s: wrong values, or wrong dtype %s", name, dt, have)
			}
		}
	}
}

// MTP modules get copies of the current embedding and head, even if only the source has the
// modules. Other tensors of the source are preserved unless dropped.
func TestSaveKeepsWhatTheSourceHas(t *testing.T) {
	cfg := model.Tiny(32)
	cfg.NumNextNPredictLayers = 1
	prefix := "model.layers.4."
	if cfg.NumHiddenLayers != 4 {
		t.Fatalf("%d layers", cfg.NumHiddenLayers)
	}
	original := newTiny(t, cfg, model.Options{})
	_, err := mtp.New(original)
	must(t, err)
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	must(t, model.Save(from, original, model.SaveOptions{DType: checkpoint.F8E4M3}))
	for name, text := range map[string]string{
		"tokenizer.json": "{}", "generation_config.json": `{"temperature": 0.6}`, "README.md": "not a model's",
	} {
		must(t, os.WriteFile(filepath.Join(from, name), []byte(text), 0o666))
	}
	m := newTiny(t, cfg, model.Options{}) // made without its MTP module
	source := &model.Source{Dir: from}
	for _, name := range tensorNames(t, from) {
		if strings.HasPrefix(name, prefix) {
			source.Unclaimed = append(source.Unclaimed, name)
		}
	}
	x := floats32(t, m.Embed)
	for i := range x {
		x[i] += 1
	}
	must(t, m.Embed.SetFloats(widen(x)))
	must(t, model.Save(to, m, model.SaveOptions{Source: source}))
	for _, name := range []string{"embed_tokens.weight", "shared_head.head.weight"} {
		want := floats32(t, m.Embed)
		if name != "embed_tokens.weight" {
			want = floats32(t, m.Head)
		}
		if got, dt := saved(t, to, prefix+name); !slices.Equal(got, want) || dt != checkpoint.F32 {
			t.Errorf("%s: not the current values, or wrong dtype %s", name, dt)
		}
	}
	for _, name := range []string{"eh_proj.weight", "self_attn.o_proj.weight", "mlp.experts.1.up_proj.weight"} {
		want, _ := saved(t, from, prefix+name)
		got, dt := saved(t, to, prefix+name)
		if !slices.Equal(got, want) || dt == checkpoint.F8E4M3 {
			t.Errorf("%s: wrong dtype %s, or wrong values", name, dt)
		}
	}
	for _, name := range tensorNames(t, to) {
		if strings.HasSuffix(name, "_scale_inv") {
			t.Errorf("scales without FP8: %s", name)
		}
	}
	if n := rawConfig(t, to)["num_nextn_predict_layers"]; n != 1.0 {
		t.Errorf("num_nextn_predict_layers %v", n)
	}
	for name, want := range map[string]bool{"tokenizer.json": true, "generation_config.json": true, "README.md": false} {
		if _, err := os.Stat(filepath.Join(to, name)); (err == nil) != want {
			t.Errorf("%s copied: %t", name, err == nil)
		}
	}
	drop := func(name string) bool { return strings.HasPrefix(name, prefix) }
	must(t, model.Save(to, m, model.SaveOptions{Source: source, Drop: drop}))
	if i := slices.IndexFunc(tensorNames(t, to), drop); i >= 0 {
		t.Errorf("%s was not dropped", tensorNames(t, to)[i])
	}
	if n := rawConfig(t, to)["num_nextn_predict_layers"]; n != nil && n != 0.0 {
		t.Errorf("num_nextn_predict_layers %v without a module", n)
	}
}

// A model is loaded, trained for a step, and saved over the folder it was loaded from.
func TestSaveOverItsSource(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	first := newTiny(t, model.Tiny(32), model.Options{})
	_, err := mtp.New(first)
	must(t, err)
	must(t, model.Save(dir, first, model.SaveOptions{DType: checkpoint.BF16, ShardBytes: 300_000}))
	must(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{}"), 0o666))
	m, source, err := model.Load(open(t), dir, model.LoadOptions{})
	must(t, err)
	defer m.Free()
	if len(source.Unclaimed) < 20 {
		t.Errorf("unclaimed %v", source.Unclaimed)
	}
	x := floats32(t, m.Norm)
	x[0] += 1e-5
	must(t, m.Norm.SetFloats(widen(x)))
	must(t, model.Save(dir, m, model.SaveOptions{Source: source}))
	again, _, err := model.Load(open(t), dir, model.LoadOptions{Modules: modules})
	must(t, err)
	defer again.Free()
	if got := floats32(t, again.Norm); got[0] != x[0] {
		t.Errorf("the norm is %v, want %v", got[0], x[0])
	}
	for _, p := range again.Params.All() {
		want := m.Params.Get(p.Name)
		if want == nil { // belongs to the module
			want = first.Params.Get(p.Name)
		}
		for i, got := range floats32(t, p) {
			y := floats32(t, want)[i]
			if p != again.Norm && math.Abs(float64(got-y)) > math.Abs(float64(y))/256 {
				t.Fatalf("%s: %v, want %v", p.Name, got, y)
			}
			if i > 20 {
				break
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Error(err)
	}
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = float64(x[i])
	}
	return y
}

func TestSaveShardsAndLeavesTheTiedHeadOut(t *testing.T) {
	cfg := model.Tiny(32)
	cfg.TieWordEmbeddings = true
	m := newTiny(t, cfg, model.Options{})
	dir := filepath.Join(t.TempDir(), "model")
	var last, total int64
	must(t, model.Save(dir, m, model.SaveOptions{ShardBytes: 200_000, Progress: func(done, all int64) {
		if done < last {
			t.Errorf("progress fell from %d to %d", last, done)
		}
		last, total = done, all
	}}))
	files, err := filepath.Glob(filepath.Join(dir, "model-0*-of-0*.safetensors"))
	must(t, err)
	if len(files) < 3 {
		t.Errorf("files %v", files)
	}
	var index struct {
		Metadata struct {
			TotalSize int64 `json:"total_size"`
		} `json:"metadata"`
	}
	text, err := os.ReadFile(filepath.Join(dir, checkpoint.IndexFile))
	must(t, err)
	must(t, json.Unmarshal(text, &index))
	want := int64(4 * m.Params.Len())
	if index.Metadata.TotalSize != want || last != want || total != want {
		t.Errorf("total_size %d, progress %d of %d, want %d", index.Metadata.TotalSize, last, total, want)
	}
	if slices.Contains(tensorNames(t, dir), "lm_head.weight") {
		t.Error("the tied head was written")
	}
	again := newTiny(t, cfg, model.Options{Uninitialized: true})
	if unclaimed, err := checkpoint.Load(dir, again.Params.All()); err != nil || len(unclaimed) > 0 {
		t.Errorf("unclaimed %v, error %v", unclaimed, err)
	}
	must(t, model.Save(dir, m, model.SaveOptions{}))
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 2 {
		t.Errorf("after a save in one file there are %v", names)
	}
}

func TestSaveRefusesOtherDTypesAndOtherFolders(t *testing.T) {
	m := newTiny(t, model.Tiny(32), model.Options{})
	dir := t.TempDir()
	if err := model.Save(dir, m, model.SaveOptions{DType: checkpoint.F16}); err == nil ||
		!strings.Contains(err.Error(), "SaveOptions.DType is F16") {
		t.Errorf("error %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o666))
	if err := model.Save(dir, m, model.SaveOptions{}); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("error %v", err)
	}
	projection := m.Params.Get("model.layers.0.self_attn.o_proj.weight")
	bad := floats32(t, projection)
	bad[3] = float32(math.NaN())
	must(t, projection.SetFloats(widen(bad)))
	fresh := filepath.Join(t.TempDir(), "model")
	err := model.Save(fresh, m, model.SaveOptions{DType: checkpoint.F8E4M3})
	if err == nil || !strings.Contains(err.Error(), "o_proj.weight") {
		t.Errorf("NaN in FP8: error %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(fresh)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Saving a model twice gives the same bytes.
func TestSavesAreTheSameBytes(t *testing.T) {
	m := newTiny(t, model.Tiny(32), model.Options{})
	for _, dt := range []checkpoint.DType{checkpoint.F32, checkpoint.BF16, checkpoint.F8E4M3} {
		dirs := [2]string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
		for _, dir := range dirs {
			must(t, model.Save(dir, m, model.SaveOptions{DType: dt, ShardBytes: 500_000}))
		}
		entries, err := os.ReadDir(dirs[0])
		must(t, err)
		if len(entries) < 4 {
			t.Errorf("%s: %d files", dt, len(entries))
		}
		for _, e := range entries {
			x, err := os.ReadFile(filepath.Join(dirs[0], e.Name()))
			must(t, err)
			y, err := os.ReadFile(filepath.Join(dirs[1], e.Name()))
			must(t, err)
			if !bytes.Equal(x, y) {
				t.Errorf("%s: %s differs", dt, e.Name())
			}
		}
	}
}
