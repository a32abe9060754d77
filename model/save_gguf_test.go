package model_test

import (
	"errors"
	"fmt"
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

// goldenForGGUF loads the golden model of a folder, with its modules, and reduces its
// config to what GGUF can express.
func goldenForGGUF(t *testing.T, b backend.Backend, dir string) *model.Model {
	t.Helper()
	m, _, err := model.Load(b, dir, model.LoadOptions{Modules: modules})
	must(t, err)
	m.Config = ggufOf(m.Config)
	m.Config.RoPEInterleave = m.Config.IsMLA()
	t.Cleanup(m.Free)
	return m
}

// rounded returns the values that a file stores for x in the given type.
func rounded(t *testing.T, name string, shape []int, kind gguf.Type, x []float64) []float64 {
	t.Helper()
	elements, _ := kind.Block()
	switch {
	case len(shape) == 1 || strings.HasSuffix(name, ".mlp.gate.weight"):
		kind = gguf.F32
	case shape[len(shape)-1]%elements != 0:
		kind = gguf.F16
	}
	narrow := make([]float32, len(x))
	for i, v := range x {
		narrow[i] = float32(v)
	}
	data := make([]byte, kind.Bytes(len(x)))
	must(t, kind.Quantize(data, narrow))
	kind.Dequantize(narrow, data)
	out := make([]float64, len(x))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out
}

// Golden models of every type are saved and loaded again with their configs and with values
// rounded once.
func TestSavedGGUFLoadsWithItsValuesRounded(t *testing.T) {
	b := open(t)
	dirs, err := filepath.Glob("testdata/golden/*/config.json")
	must(t, err)
	if len(dirs) < 8 {
		t.Fatalf("%d golden models", len(dirs))
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		want := goldenForGGUF(t, b, dir)
		for _, kind := range []gguf.Type{gguf.F16, gguf.Q8_0} {
			what := fmt.Sprint(filepath.Base(dir), " as ", kind)
			path := filepath.Join(t.TempDir(), "saved.gguf")
			var done, total int64
			must(t, model.SaveGGUF(path, want.Config, checkpoint.ParamRows(want.Params.All()), model.GGUFOptions{
				Type: kind, Metadata: gguf.Metadata{{Key: "general.name", Value: "golden"}},
				Progress: func(d, n int64) { done, total = d, n },
			}))
			if done == 0 || done != total {
				t.Errorf("%s: %d of %d bytes", what, done, total)
			}
			got, source, err := model.Load(b, path, model.LoadOptions{})
			must(t, err)
			cfg := want.Config
			cfg.NumNextNPredictLayers = 0
			if !reflect.DeepEqual(source.Config, cfg) {
				t.Errorf("%s: config %+v, want %+v", what, source.Config, cfg)
			}
			if name, err := gguf.Value[string](source.Metadata, "general.name"); name != "golden" || err != nil {
				t.Errorf("%s: name %q, %v", what, name, err)
			}
			for _, p := range got.Params.All() {
				x, err := p.Floats()
				must(t, err)
				y, err := want.Params.Get(p.Name).Floats()
				must(t, err)
				if !reflect.DeepEqual(x, rounded(t, p.Name, p.Shape(), kind, y)) {
					t.Errorf("%s: %s differs", what, p.Name)
				}
			}
			got.Free()
		}
	}
}

// The eos_token_id of the tokenizer comes first, followed by one of the config's.
func TestTokenizersNameTheFirstEndOfText(t *testing.T) {
	m := goldenForGGUF(t, open(t), "testdata/golden/qwen2_tied")
	m.Config.EOSTokenID = model.TokenIDs{7, 8, 9}
	for want, further := range map[string]gguf.Metadata{
		"[7 8]": nil,
		"[9 7]": {{Key: "tokenizer.ggml.eos_token_id", Value: uint32(9)}},
		"[7 9]": {{Key: "tokenizer.ggml.eot_token_id", Value: uint32(9)}},
	} {
		path := filepath.Join(t.TempDir(), "saved.gguf")
		must(t, model.SaveGGUF(path, m.Config, checkpoint.ParamRows(m.Params.All()), model.GGUFOptions{Type: gguf.F16,
			Metadata: further}))
		if c, err := model.LoadConfig(path); err != nil || fmt.Sprint(c.EOSTokenID) != want {
			t.Errorf("eos_token_id %v, error %v, want %s", c.EOSTokenID, err, want)
		}
	}
}

func TestSaveGGUFRefuses(t *testing.T) {
	b := open(t)
	llama := goldenForGGUF(t, b, "testdata/golden/llama3_scaling")
	v3 := goldenForGGUF(t, b, "testdata/golden/deepseek_v3_groups_yarn")
	rows := func(m *model.Model) []checkpoint.Rows { return checkpoint.ParamRows(m.Params.All()) }
	huge := rows(llama)
	huge[0].Read = func(_ int, dst []float32) error { dst[0] = 1e6; return nil }
	renamed := rows(llama)
	renamed[0].Name = "model.embedding"
	mscale := v3.Config
	scaling := *mscale.RoPEScaling
	scaling.MScale = 0.5
	mscale.RoPEScaling = &scaling
	split := v3.Config
	split.RoPEInterleave = false
	fewer := v3.Config
	fewer.NRoutedExperts /= 2
	var missing []checkpoint.Rows
	for _, r := range rows(v3) {
		if !strings.HasSuffix(r.Name, ".experts.3.up_proj.weight") {
			missing = append(missing, r)
		}
	}
	for what, c := range map[string]struct {
		cfg  model.Config
		rows []checkpoint.Rows
		o    model.GGUFOptions
		want string
	}{
		"type":           {llama.Config, rows(llama), model.GGUFOptions{Type: gguf.Q4_0}, "want F16 or Q8_0"},
		"config":         {model.Config{}, nil, model.GGUFOptions{Type: gguf.F16}, "model_type"},
		"mscale":         {mscale, rows(v3), model.GGUFOptions{Type: gguf.F16}, "rope_scaling.mscale"},
		"halves of RoPE": {split, rows(v3), model.GGUFOptions{Type: gguf.F16}, "rope_interleave"},
		"unknown tensor": {llama.Config, renamed, model.GGUFOptions{Type: gguf.F16}, "model.embedding"},
		"missing tensor": {llama.Config, rows(llama)[1:], model.GGUFOptions{Type: gguf.F16}, "no such tensor"},
		"missing expert": {v3.Config, missing, model.GGUFOptions{Type: gguf.F16}, "expert 3 of tensor"},
		"too many":       {fewer, rows(v3), model.GGUFOptions{Type: gguf.F16}, "8 experts"},
		"repeated tensor": {llama.Config, append(rows(llama), rows(llama)[0]), model.GGUFOptions{Type: gguf.F16},
			"more than once"},
		"beyond F16": {llama.Config, huge, model.GGUFOptions{Type: gguf.F16}, "beyond F16"},
		"repeated key": {llama.Config, rows(llama), model.GGUFOptions{Type: gguf.F16,
			Metadata: gguf.Metadata{{Key: "llama.block_count", Value: uint32(1)}}}, "llama.block_count"},
	} {
		path := filepath.Join(t.TempDir(), "refused.gguf")
		err := model.SaveGGUF(path, c.cfg, c.rows, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the file", what, err, c.want)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: there is a file: %v", what, err)
		}
	}
}
