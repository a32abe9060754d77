package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// The mean of two folders, written as a GGUF file, loads; it has no module of multi-token
// prediction.
func TestGGUFIsTheMeanOfTwoFolders(t *testing.T) {
	one, two := folder(t, 1, checkpoint.F32), folder(t, 2, checkpoint.F32)
	out := filepath.Join(t.TempDir(), "out.gguf")
	o := options{in: one, average: two, out: out, gguf: true, ggufType: gguf.F16}
	must(t, convert(t.Context(), o))
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	m, source, err := model.Load(b, out, model.LoadOptions{})
	must(t, err)
	defer m.Free()
	if len(source.Unclaimed) > 0 || m.Config.NumNextNPredictLayers != 0 {
		t.Errorf("unclaimed %v, %d modules", source.Unclaimed, m.Config.NumNextNPredictLayers)
	}
	const projection = "model.layers.1.self_attn.o_proj.weight"
	x, _ := content(t, one)
	y, _ := content(t, two)
	got, err := m.Params.Get(projection).Floats()
	must(t, err)
	for i, v := range got {
		if want := float64(x[projection][i]+y[projection][i]) / 2; math.Abs(v-want) > math.Abs(want)/1024+1e-7 {
			t.Fatalf("element %d of %s is %g, want %g", i, projection, v, want)
		}
	}
}

// A GGUF file has the tokenizer and the chat template of the folder that it was made from.
func TestGGUFHasTheTokenizerOfItsFolder(t *testing.T) {
	in, out := folder(t, 1, checkpoint.F32), filepath.Join(t.TempDir(), "out.gguf")
	want, err := tokenizer.New(tokenizer.Vocabulary{Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"},
		Pattern: tokenizer.DeepSeekV3, Added: []tokenizer.Added{{ID: 3, Content: "<bos>", Special: true}},
		Prefix: []int32{3}})
	must(t, err)
	must(t, want.Save(in))
	must(t, os.WriteFile(filepath.Join(in, "chat_template.jinja"), []byte("{{ 1 }}"), 0o666))
	must(t, convert(t.Context(), options{in: in, out: out, gguf: true, ggufType: gguf.Q8_0}))
	got, err := tokenizer.Load(out)
	must(t, err)
	ids, err := got.Encode("abba")
	template, missing := chat.Jinja(out)
	if err != nil || !slices.Equal(ids, []int32{3, 2, 1, 0}) || template != "{{ 1 }}" {
		t.Errorf("ids %v, %v; template %q, %v", ids, err, template, missing)
	}
	r, err := gguf.Open(out)
	must(t, err)
	defer r.Close()
	cfg, err := model.LoadConfig(out)
	must(t, err)
	if tokens, err := gguf.Value[[]string](r.Metadata, "tokenizer.ggml.tokens"); len(tokens) != cfg.VocabSize {
		t.Errorf("%d tokens of %d, error %v", len(tokens), cfg.VocabSize, err)
	}
}

// A folder that is made from a GGUF file has the values and the tokenizer of that file.
func TestGGUFBecomesAFolder(t *testing.T) {
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	for _, dir := range []string{"llama3_scaling", "deepseek_v3_plain_query"} {
		in := golden(t, b, dir)
		want, source, err := model.Load(b, in, model.LoadOptions{})
		must(t, err)
		defer want.Free()
		for _, dt := range []checkpoint.DType{"", checkpoint.F32, checkpoint.BF16} {
			out := run(t, options{in: in, dtype: dt})
			got, saved, err := model.Load(b, out, model.LoadOptions{})
			must(t, err)
			cfg := source.Config.StoredAs(backend.F32)
			if dt == checkpoint.BF16 {
				cfg = source.Config.StoredAs(backend.BF16)
			}
			if !reflect.DeepEqual(saved.Config, cfg) || len(saved.Unclaimed) > 0 {
				t.Errorf("%s as %q: config %+v, want %+v, unclaimed %v", dir, dt, saved.Config, cfg, saved.Unclaimed)
			}
			for _, p := range got.Params.All() {
				x, err := p.Floats()
				must(t, err)
				y, err := want.Params.Get(p.Name).Floats()
				must(t, err)
				for i := range y {
					if dt == checkpoint.BF16 && !strings.HasSuffix(p.Name, ".e_score_correction_bias") {
						y[i] = backend.BF16.Round(y[i])
					}
					if x[i] != y[i] {
						t.Fatalf("%s as %q: element %d of %s is %g, want %g", dir, dt, i, p.Name, x[i], y[i])
					}
				}
			}
			got.Free()
			tok, err := tokenizer.Load(out)
			must(t, err)
			ids, err := tok.Encode("ab")
			template, missing := chat.Jinja(out)
			if !slices.Equal(ids, []int32{2}) || template != "{{ 1 }}" || errors.Join(err, missing) != nil {
				t.Errorf("ids %v, %v; template %q, %v", ids, err, template, missing)
			}
		}
	}
}

// golden writes a golden model with a tokenizer to a GGUF file of type Q8_0.
func golden(t *testing.T, b backend.Backend, dir string) string {
	t.Helper()
	m, _, err := model.Load(b, filepath.Join("../../model/testdata/golden", dir), model.LoadOptions{})
	must(t, err)
	defer m.Free()
	tok, err := tokenizer.New(tokenizer.Vocabulary{Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"},
		Pattern: tokenizer.SmolLM2})
	must(t, err)
	metadata, err := tok.ToGGUF(m.Config.VocabSize)
	must(t, err)
	m.Config.RoPEInterleave = m.Config.IsMLA()
	path := filepath.Join(t.TempDir(), "golden.gguf")
	must(t, model.SaveGGUF(path, m.Config, checkpoint.ParamRows(m.Params.All()), model.GGUFOptions{Type: gguf.Q8_0,
		Metadata: append(metadata, gguf.KeyValue{Key: chat.GGUFKey, Value: "{{ 1 }}"})}))
	return path
}

// Quantising a dequantised Q8_0 file again gives the same values, since each block has an
// integer of the largest magnitude.
func TestGGUFOfGGUFKeepsItsValues(t *testing.T) {
	b, err := backend.Open("cpu")
	must(t, err)
	defer b.Close()
	in, out := golden(t, b, "llama3_scaling"), filepath.Join(t.TempDir(), "out.gguf")
	must(t, convert(t.Context(), options{in: in, out: out, gguf: true, ggufType: gguf.Q8_0}))
	x, y := tensors(t, in), tensors(t, out)
	if !reflect.DeepEqual(x, y) || len(x) < 10 {
		t.Errorf("%d tensors became %d others", len(x), len(y))
	}
}

// tensors returns the bytes of each tensor of a GGUF file, by type and name.
func tensors(t *testing.T, path string) map[string][]byte {
	t.Helper()
	r, err := gguf.Open(path)
	must(t, err)
	defer r.Close()
	list := map[string][]byte{}
	for _, info := range r.Tensors {
		data := make([]byte, info.Bytes)
		must(t, r.ReadAt(info, data, 0))
		list[info.Type.String()+" "+info.Name] = data
	}
	return list
}

func TestStoppedGGUFIsNotThere(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.gguf")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	cancel(stop)
	o := options{in: folder(t, 1, checkpoint.F32), out: out, gguf: true, ggufType: gguf.Q8_0}
	if err := convert(ctx, o); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was left: %v", err)
	}
}
