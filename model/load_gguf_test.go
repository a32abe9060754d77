package model_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// ggufOf returns the config that a GGUF file of a golden model gives: cfg without what GGUF
// does not store.
func ggufOf(cfg model.Config) model.Config {
	cfg.Extra, cfg.DType = nil, ""
	if s := cfg.RoPEScaling; s != nil && cfg.IsMLA() {
		both := *s
		both.MScale = both.MScaleAllDim
		cfg.RoPEScaling = &both
	}
	if cfg.HeadDim == 0 && !cfg.IsMLA() {
		cfg.HeadDim = cfg.QKHeadDim()
	}
	return cfg
}

// The files of testdata/generate_gguf.py, which takes names, keys and row order from the
// package gguf and from llama.cpp, load in every format with the same bits as the golden
// folders.
func TestGGUFLoadsAsTheFolderItWasMadeOf(t *testing.T) {
	b := open(t)
	paths, err := filepath.Glob("testdata/gguf/*.gguf")
	must(t, err)
	if len(paths) < 5 {
		t.Fatalf("%d files in testdata/gguf", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".gguf")
		folder := filepath.Join("testdata/golden", name)
		cfg, err := model.ReadConfig(filepath.Join(folder, "config.json"))
		must(t, err)
		for _, f := range backend.Formats() {
			o := model.LoadOptions{Options: model.Options{Format: f, Tables: f, Packed: f != backend.Native}}
			want, _, err := model.Load(b, folder, o)
			must(t, err)
			got, source, err := model.Load(b, path, o)
			must(t, err)
			if !reflect.DeepEqual(source.Config, ggufOf(cfg)) {
				t.Errorf("%s: config %+v, want %+v", name, source.Config, ggufOf(cfg))
			}
			if len(source.Unclaimed) > 0 || source.Metadata == nil {
				t.Errorf("%s: source %v", name, source)
			}
			sameParams(t, fmt.Sprint(name, " as ", f), got, want)
			want.Free()
			got.Free()
		}
	}
}

func TestLoadConfigReadsEveryKindOfCheckpoint(t *testing.T) {
	const folder = "testdata/golden/qwen3"
	want, err := model.ReadConfig(filepath.Join(folder, "config.json"))
	must(t, err)
	for path, want := range map[string]model.Config{
		folder: want, filepath.Join(folder, checkpoint.SingleFile): want, "testdata/gguf/qwen3.gguf": ggufOf(want),
	} {
		if got, err := model.LoadConfig(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", path, got, err, want)
		}
	}
	if _, err := model.LoadConfig("testdata/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// change modifies the metadata and tensors of a file.
type change func(m gguf.Metadata, list []gguf.Tensor) (gguf.Metadata, []gguf.Tensor)

// rewrite writes a changed copy of a file of testdata/gguf.
func rewrite(t *testing.T, path string, change change) string {
	t.Helper()
	r, err := gguf.Open(path)
	must(t, err)
	defer r.Close()
	var list []gguf.Tensor
	for _, info := range r.Tensors {
		data := make([]byte, info.Bytes)
		must(t, r.ReadAt(info, data, 0))
		list = append(list, ggufTensor(info.Name, info.Type, data, info.Shape...))
	}
	m, list := change(r.Metadata, list)
	var out bytes.Buffer
	must(t, gguf.Write(&out, m, list))
	path = filepath.Join(t.TempDir(), "changed.gguf")
	must(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

func ggufTensor(name string, kind gguf.Type, data []byte, shape ...int) gguf.Tensor {
	return gguf.Tensor{Name: name, Type: kind, Shape: shape, Stream: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// set replaces or adds a key; a nil value removes it.
func set(m gguf.Metadata, key string, value any) (out gguf.Metadata) {
	for _, kv := range m {
		if kv.Key != key {
			out = append(out, kv)
		}
	}
	if value != nil {
		out = append(out, gguf.KeyValue{Key: key, Value: value})
	}
	return out
}

func TestGGUFThatIsNotAModelHereIsRefused(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		file, key string
		value     any
		want      string
	}{
		{"qwen3", "general.architecture", "gpt2", `architecture "gpt2"`},
		{"qwen3", "general.architecture", nil, "general.architecture"},
		{"qwen3", "split.count", uint16(2), "one of 2 split files"},
		{"qwen3", "qwen3.block_count", nil, "qwen3.block_count"},
		{"qwen3", "qwen3.block_count", uint32(3), "no such tensor"},
		{"qwen3", "qwen3.block_count", uint32(1 << 30), "num_hidden_layers"},
		{"qwen3", "qwen3.attention.head_count", uint32(0), "num_attention_heads"},
		{"qwen3", "qwen3.attention.head_count", []int32{4, 4, 8, 4}, "4 of layer 0, 8 of layer 2: layers that differ"},
		{"qwen3", "qwen3.attention.head_count", []int32{}, "empty array"},
		{"qwen3", "qwen3.context_length", uint64(1 << 40), "max_position_embeddings"},
		{"qwen3", "qwen3.attention.layer_norm_rms_epsilon", "small", "layer_norm_rms_epsilon"},
		{"qwen3", "qwen3.attention.value_length", uint32(6), "values of width 6"},
		{"qwen3", "qwen3.rope.dimension_count", uint32(2), "RoPE of 2"},
		{"qwen3", "qwen3.rope.scaling.type", "linear", "want none or yarn"},
		{"qwen3", "qwen3.attention.sliding_window", uint32(512), "sliding_window"},
		{"qwen3", "qwen3.attention.causal", false, "attention.causal"},
		{"qwen3", "qwen3.attn_logit_softcapping", float32(50), "attn_logit_softcapping"},
		{"qwen3", "qwen3.rope.scaling.yarn_attn_factor", float32(2), "yarn_attn_factor"},
		{"llama3_scaling", "llama.expert_count", uint32(8), "experts"},
		{"llama3_scaling", "llama.attention.head_count", uint32(0), "num_attention_heads"},
		{"llama3_scaling", "llama.rope.freq_base", float32(1000), "rope_freqs.weight"},
		{"deepseek_v2_groups", "deepseek2.expert_gating_func", uint32(3), "expert_gating_func"},
		{"deepseek_v2_groups", "deepseek2.expert_count", uint32(4), "4 experts"},
		{"deepseek_v2_groups", "deepseek2.rope.dimension_count", uint32(100), "qk_nope_head_dim"},
		{"deepseek_v3_groups_yarn", "deepseek2.attention.value_length_mla", uint32(5), "attn_k_b"},
		{"deepseek_v3_groups_yarn", "deepseek2.rope.scaling.yarn_log_multiplier", nil, "yarn_log_multiplier"},
	} {
		path := rewrite(t, "testdata/gguf/"+c.file+".gguf", func(m gguf.Metadata, list []gguf.Tensor) (gguf.Metadata,
			[]gguf.Tensor) {
			return set(m, c.key, c.value), list
		})
		if _, _, err := model.Load(b, path, model.LoadOptions{}); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s with %s = %v: %v, want %q and the file", c.file, c.key, c.value, err, c.want)
		}
	}
	biased := rewrite(t, "testdata/gguf/qwen3.gguf", func(m gguf.Metadata, list []gguf.Tensor) (gguf.Metadata,
		[]gguf.Tensor) {
		return m, append(list, ggufTensor("blk.0.attn_q.bias", gguf.F32, make([]byte, 64), 16))
	})
	if _, _, err := model.Load(b, biased, model.LoadOptions{}); err == nil || !strings.Contains(err.Error(), "biases") {
		t.Errorf("a bias: %v", err)
	}
}

// Blocks with any integers, and scales and minimums of either sign, keep every value when
// packed in the format of the same layout.
func TestQuantisedGGUFKeepsItsValuesInTheFormatOfItsLayout(t *testing.T) {
	b := open(t)
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, c := range []struct {
		kind   gguf.Type
		format backend.Format
	}{{gguf.Q8_0, backend.Q8}, {gguf.Q4_0, backend.Q4}, {gguf.Q4_1, backend.Q4_1}} {
		path := rewrite(t, "testdata/gguf/llama3_scaling.gguf", func(m gguf.Metadata, list []gguf.Tensor) (gguf.Metadata,
			[]gguf.Tensor) {
			for i, x := range list {
				if len(x.Shape) != 2 || x.Shape[1]%32 != 0 {
					continue
				}
				elements, size := c.kind.Block()
				data := make([]byte, x.Shape[0]*x.Shape[1]/elements*size)
				for at := 0; at < len(data); at += size {
					for j := range data[at : at+size] {
						data[at+j] = byte(r.Uint32())
					}
					backend.F16.Put(data[at:], 0, r.NormFloat64())
					if c.kind == gguf.Q4_1 {
						backend.F16.Put(data[at+2:], 0, r.NormFloat64())
					}
				}
				list[i] = ggufTensor(x.Name, c.kind, data, x.Shape...)
			}
			return m, list
		})
		want, _, err := model.Load(b, path, model.LoadOptions{})
		must(t, err)
		got, _, err := model.Load(b, path, model.LoadOptions{Options: model.Options{Format: c.format, Packed: true}})
		must(t, err)
		packed := 0
		for _, p := range got.Params.All() {
			if p.Packed() && p.Shape()[1]%32 == 0 {
				packed++
				x, err := p.Floats()
				must(t, err)
				y, err := want.Params.Get(p.Name).Floats()
				must(t, err)
				if !reflect.DeepEqual(x, y) {
					t.Errorf("%s in %s: %s differs", c.kind, c.format, p.Name)
				}
			}
		}
		if packed < 8 {
			t.Errorf("%s in %s: %d parameters are packed", c.kind, c.format, packed)
		}
		want.Free()
		got.Free()
	}
}

// A model loaded from a GGUF file is saved as a folder that loads with the same bits,
// including tensors without a parameter.
func TestGGUFIsSavedAsAFolder(t *testing.T) {
	b := open(t)
	path := rewrite(t, "testdata/gguf/qwen3.gguf", func(m gguf.Metadata, list []gguf.Tensor) (gguf.Metadata,
		[]gguf.Tensor) {
		return m, append(list, ggufTensor("extra.weight", gguf.Q8_0, make([]byte, 34), 32))
	})
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "tokenizer.json"), []byte("of another model"), 0o600))
	want, source, err := model.Load(b, path, model.LoadOptions{})
	must(t, err)
	defer want.Free()
	dir := filepath.Join(t.TempDir(), "saved")
	must(t, model.Save(dir, want, model.SaveOptions{Source: source}))
	got, source, err := model.Load(b, dir, model.LoadOptions{})
	must(t, err)
	defer got.Free()
	sameParams(t, dir, got, want)
	if fmt.Sprint(source.Unclaimed) != "[extra.weight]" {
		t.Errorf("unclaimed %v", source.Unclaimed)
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the tokenizer of another model was copied: %v", err)
	}
}
