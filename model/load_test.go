package model_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/mtp"
)

// modules adds the MTP modules to a model whose config has any.
func modules(m *model.Model) error {
	if m.Config.NumNextNPredictLayers == 0 {
		return nil
	}
	_, err := mtp.New(m)
	return err
}

// readFile reads the tensors of a file.
func readFile(t *testing.T, path string) []checkpoint.Tensor {
	t.Helper()
	r, err := checkpoint.Open(path)
	must(t, err)
	defer r.Close()
	var list []checkpoint.Tensor
	for _, info := range r.Tensors() {
		data, err := r.Read(info.Name)
		must(t, err)
		list = append(list, checkpoint.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	return list
}

// valuesOf returns the elements of a tensor.
func valuesOf(x checkpoint.Tensor) []float64 {
	dt := map[checkpoint.DType]backend.DType{checkpoint.F32: backend.F32, checkpoint.F16: backend.F16,
		checkpoint.BF16: backend.BF16}[x.DType]
	v := make([]float64, len(x.Data)/dt.Size())
	for i := range v {
		v[i] = dt.Get(x.Data, i)
	}
	return v
}

// writeFolder writes a folder with a config and shards of tensors; a single shard is
// model.safetensors.
func writeFolder(t *testing.T, cfg model.Config, shards ...[]checkpoint.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(cfg)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
	index := map[string]string{}
	for i, tensors := range shards {
		name := checkpoint.SingleFile
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		must(t, checkpoint.WriteAtomic(filepath.Join(dir, name), func(w io.Writer) error {
			return checkpoint.Write(w, tensors, nil)
		}))
		for _, x := range tensors {
			index[x.Name] = name
		}
	}
	if len(shards) > 1 {
		text, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 0}, "weight_map": index})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, checkpoint.IndexFile), text, 0o600))
	}
	return dir
}

// sameParams compares the parameters of two models bit for bit.
func sameParams(t *testing.T, name string, got, want *model.Model) {
	t.Helper()
	if len(got.Params.All()) != len(want.Params.All()) {
		t.Fatalf("%s: %d parameters, want %d", name, len(got.Params.All()), len(want.Params.All()))
	}
	for _, p := range got.Params.All() {
		x, err := p.Floats()
		must(t, err)
		y, err := want.Params.Get(p.Name).Floats()
		must(t, err)
		if !slices.Equal(x, y) {
			t.Errorf("%s: %s differs", name, p.Name)
		}
	}
}

// Every golden folder of transformers, stored in BF16 or F32, loads in every format with
// the bits of a model whose unpacked weights were packed.
func TestFoldersOfTransformersLoadInEveryFormat(t *testing.T) {
	b := open(t)
	dirs, err := filepath.Glob("testdata/golden/*/model.safetensors")
	must(t, err)
	if len(dirs) < 8 {
		t.Fatalf("%d golden models", len(dirs))
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		cfg, err := model.ReadConfig(filepath.Join(dir, "config.json"))
		must(t, err)
		tensors := readFile(t, path)
		for i, x := range tensors {
			v := valuesOf(x)
			wide := make([]byte, 4*len(v))
			for j := range v {
				backend.F32.Put(wide, j, v[j])
			}
			tensors[i].DType, tensors[i].Data = checkpoint.F32, wide
		}
		for _, folder := range []string{dir, writeFolder(t, cfg, tensors)} {
			master, err := model.New(b, cfg, 1)
			must(t, err)
			must(t, modules(master))
			_, err = checkpoint.Load(filepath.Join(folder, checkpoint.SingleFile), master.Params.All())
			must(t, err)
			for _, f := range backend.Formats() {
				o := model.Options{Format: f, Tables: f, Packed: f != backend.Native}
				want, err := model.NewWith(b, cfg, 2, o)
				must(t, err)
				must(t, modules(want))
				must(t, want.Params.CopyFrom(master.Params))
				got, source, err := model.Load(b, folder, model.LoadOptions{Options: o, Modules: modules})
				must(t, err)
				if source.Dir != folder || len(source.Unclaimed) > 0 || source.Config.ModelType != cfg.ModelType {
					t.Errorf("%s: source %v", folder, source)
				}
				sameParams(t, fmt.Sprint(folder, " as ", f), got, want)
				want.Free()
				got.Free()
			}
			master.Free()
		}
	}
}

// fp8Folder writes a golden DeepSeek-V3 model with MTP in the form that DeepSeek publishes:
// matrices in FP8, their scales in another shard, copies of the embedding and of the head.
// values holds the dequantised values of its tensors.
func fp8Folder(t *testing.T) (dir string, values map[string][]float64) {
	t.Helper()
	const block = 16
	const golden = "testdata/golden/deepseek_v3_mtp"
	cfg, err := model.ReadConfig(golden + "/config.json")
	must(t, err)
	cfg.Quantization = &model.Quantization{
		QuantMethod: "fp8", Fmt: "e4m3", ActivationScheme: "dynamic", WeightBlockSize: []int{block, block},
	}
	values = map[string][]float64{}
	var weights, others []checkpoint.Tensor
	for _, x := range readFile(t, filepath.Join(golden, checkpoint.SingleFile)) {
		v := valuesOf(x)
		values[x.Name] = v
		if strings.HasSuffix(x.Name, "embed_tokens.weight") || strings.HasSuffix(x.Name, "lm_head.weight") {
			for layer := cfg.NumHiddenLayers; layer < cfg.NumHiddenLayers+cfg.NumNextNPredictLayers; layer++ {
				again := x
				again.Name = fmt.Sprintf("model.layers.%d.%s", layer, map[bool]string{true: "embed_tokens.weight",
					false: "shared_head.head.weight"}[strings.HasSuffix(x.Name, "embed_tokens.weight")])
				others = append(others, again)
			}
		}
		if !strings.Contains(x.Name, "_proj") {
			others = append(others, x)
			continue
		}
		rows, width := x.Shape[0], x.Shape[1]
		across := (width + block - 1) / block
		scales := make([]float32, (rows+block-1)/block*across)
		for i := range v {
			s := &scales[i/width/block*across+i%width/block]
			*s = max(*s, float32(math.Abs(v[i]))/448)
		}
		x.DType, x.Data = checkpoint.F8E4M3, make([]byte, len(v))
		for i := range v {
			s := scales[i/width/block*across+i%width/block]
			backend.E4M3.Put(x.Data, i, v[i]/float64(s))
			v[i] = backend.F32.Round(backend.E4M3.Get(x.Data, i) * float64(s))
		}
		scale := checkpoint.Tensor{Name: x.Name + "_scale_inv", DType: checkpoint.F32, Shape: []int{len(scales) / across,
			across}}
		for _, s := range scales {
			scale.Data = binary.LittleEndian.AppendUint32(scale.Data, math.Float32bits(s))
		}
		weights, others = append(weights, x), append(others, scale)
	}
	return writeFolder(t, cfg, weights, others), values
}

// named returns the values of parameters by the names that files use.
func named(t *testing.T, m *model.Model) map[string][]float64 {
	t.Helper()
	all := map[string][]float64{}
	for _, p := range m.Params.All() {
		v, err := p.Floats()
		must(t, err)
		before, after, isStack := strings.Cut(p.Name, "*")
		if !isStack {
			all[p.Name] = v
			continue
		}
		n := len(v) / p.Shape()[0]
		for e := range p.Shape()[0] {
			all[fmt.Sprint(before, e, after)] = v[e*n:][:n]
		}
	}
	return all
}

func TestFP8FolderIsWhatItsScalesMakeOfIt(t *testing.T) {
	dir, want := fp8Folder(t)
	b := open(t)
	var last, total int64
	m, source, err := model.Load(b, dir, model.LoadOptions{Modules: modules, Progress: func(done, of int64) {
		if done <= last || total != 0 && of != total {
			t.Errorf("progress %d of %d after %d of %d", done, of, last, total)
		}
		last, total = done, of
	}})
	must(t, err)
	defer m.Free()
	if last != total || total == 0 {
		t.Errorf("progress ends at %d of %d", last, total)
	}
	if len(source.Unclaimed) > 0 {
		t.Errorf("unclaimed: %v", source.Unclaimed)
	}
	got := named(t, m)
	if len(got) != len(want) {
		t.Errorf("%d tensors, want %d", len(got), len(want))
	}
	for name, v := range want {
		if !slices.Equal(got[name], v) {
			t.Errorf("%s differs from its codes times its scales", name)
		}
	}
	// Without the modules, all tensors of their layers are unclaimed, including scales and
	// copies.
	plain, source, err := model.Load(b, dir, model.LoadOptions{})
	must(t, err)
	defer plain.Free()
	for _, name := range []string{"embed_tokens.weight", "shared_head.head.weight", "eh_proj.weight",
		"eh_proj.weight_scale_inv", "enorm.weight"} {
		name = fmt.Sprintf("model.layers.%d.%s", m.Config.NumHiddenLayers, name)
		if !slices.Contains(source.Unclaimed, name) {
			t.Errorf("without modules %s is not unclaimed", name)
		}
	}
	if !slices.IsSorted(source.Unclaimed) {
		t.Error("unclaimed tensors are not sorted")
	}
}

// A copy that differs from its original is unclaimed if it is in an MTP module, which
// shares the model's weights, and an error if it is the head of a model that ties it.
func TestCopiesThatDifferAreNotIgnored(t *testing.T) {
	b := open(t)
	dir, _ := fp8Folder(t)
	cfg, err := model.ReadConfig(filepath.Join(dir, "config.json"))
	must(t, err)
	r, err := checkpoint.Open(dir)
	must(t, err)
	var tensors []checkpoint.Tensor
	name := fmt.Sprintf("model.layers.%d.shared_head.head.weight", cfg.NumHiddenLayers)
	for _, x := range r.Tensors() {
		data, err := r.Read(x.Name)
		must(t, err)
		if x.Name == name {
			data[3] ^= 1
		}
		tensors = append(tensors, checkpoint.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: data})
	}
	must(t, r.Close())
	m, source, err := model.Load(b, writeFolder(t, cfg, tensors), model.LoadOptions{Modules: modules})
	must(t, err)
	m.Free()
	if !slices.Equal(source.Unclaimed, []string{name}) {
		t.Errorf("unclaimed %v, want %s", source.Unclaimed, name)
	}

	cfg, err = model.ReadConfig("testdata/golden/qwen2_tied/config.json")
	must(t, err)
	tensors = readFile(t, "testdata/golden/qwen2_tied/model.safetensors")
	i := slices.IndexFunc(tensors, func(x checkpoint.Tensor) bool { return x.Name == "model.embed_tokens.weight" })
	head := tensors[i]
	head.Name, head.Data = "lm_head.weight", slices.Clone(head.Data)
	tensors = append(tensors, head)
	m, source, err = model.Load(b, writeFolder(t, cfg, tensors), model.LoadOptions{})
	must(t, err)
	m.Free()
	if len(source.Unclaimed) > 0 {
		t.Errorf("an equal head is unclaimed: %v", source.Unclaimed)
	}
	head.Data[3] ^= 1
	dir = writeFolder(t, cfg, tensors)
	_, _, err = model.Load(b, dir, model.LoadOptions{})
	if fault, ok := errors.AsType[*checkpoint.FormatError](err); !ok || fault.Tensor != "lm_head.weight" ||
		!strings.Contains(err.Error(), "tie_word_embeddings") {
		t.Errorf("another head: error %v", err)
	}
	cfg.TieWordEmbeddings = false
	m, _, err = model.Load(b, dir, model.LoadOptions{Config: &cfg})
	must(t, err)
	defer m.Free()
	if m.Head == m.Embed {
		t.Error("the head is tied although LoadOptions.Config unties it")
	}
}

// Load reports a checkpoint that it cannot load before it allocates memory.
func TestLoadComparesFilesAndMemoryFirst(t *testing.T) {
	const golden = "testdata/golden/deepseek_v3_mtp"
	cfg, err := model.ReadConfig(golden + "/config.json")
	must(t, err)
	small, err := cpu.New(cpu.Options{MemoryLimit: 64 << 10})
	must(t, err)
	t.Cleanup(func() { small.Close() })
	huge := `{"t":{"dtype":"U8","shape":[10000000000],"data_offsets":[0,10000000000]}}`
	claims := writeFolder(t, cfg)
	must(t, os.WriteFile(filepath.Join(claims, checkpoint.SingleFile),
		append(binary.LittleEndian.AppendUint64(nil, uint64(len(huge))), huge...), 0o600))
	with := func(set func(*model.Config)) *model.Config {
		c := cfg
		set(&c)
		return &c
	}
	for _, c := range []struct {
		name string
		path string
		o    model.LoadOptions
		want string
		is   error
	}{
		{"no folder", "testdata/absent", model.LoadOptions{}, "testdata/absent", os.ErrNotExist},
		{"no config", t.TempDir(), model.LoadOptions{}, "config.json", os.ErrNotExist},
		{"no files", writeFolder(t, cfg), model.LoadOptions{}, checkpoint.SingleFile, os.ErrNotExist},
		{"10 GB in 81 bytes", claims, model.LoadOptions{}, `tensor "t"`, checkpoint.ErrTruncated},
		{"too little memory", golden, model.LoadOptions{}, "not enough memory", nil},
		{"layers", golden, model.LoadOptions{Config: with(func(c *model.Config) { c.NumHiddenLayers = 1 << 14 })},
			"num_hidden_layers is 16384", nil},
		{"vocabulary", golden, model.LoadOptions{Config: with(func(c *model.Config) { c.VocabSize = 1 << 28 })},
			"model.embed_tokens.weight", checkpoint.ErrShape},
		{"experts", golden, model.LoadOptions{Config: with(func(c *model.Config) { c.NRoutedExperts = 1 << 16 })},
			"experts.0.gate_proj.weight", checkpoint.ErrMissing},
		{"positions", golden, model.LoadOptions{Config: with(func(c *model.Config) { c.MaxPositionEmbeddings = 1 << 24 })},
			"max_position_embeddings is 16777216", nil},
		{"modules", golden, model.LoadOptions{Modules: func(*model.Model) error { return io.ErrNoProgress }}, "",
			io.ErrNoProgress},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, _, err := model.Load(small, c.path, c.o)
		runtime.ReadMemStats(&after)
		if err == nil {
			m.Free()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Errorf("%s: %d bytes were allocated", c.name, n)
		}
	}
}

// A single file loads with the config next to it or with another one.
func TestASingleFileLoads(t *testing.T) {
	b := open(t)
	const golden = "testdata/golden/qwen3"
	want, _, err := model.Load(b, golden, model.LoadOptions{})
	must(t, err)
	defer want.Free()
	cfg, err := model.ReadConfig(golden + "/config.json")
	must(t, err)
	for _, c := range []*model.Config{nil, &cfg} {
		m, source, err := model.Load(b, golden+"/model.safetensors", model.LoadOptions{Config: c})
		must(t, err)
		sameParams(t, "file", m, want)
		if source.Dir != golden {
			t.Errorf("the folder is %s", source.Dir)
		}
		m.Free()
	}
}
