package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// Two folders become a GGUF file of their mean, which loads, without the module.
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

// The file has the tokenizer and the template of the folder.
func TestGGUFHasTheTokenizerOfItsFolder(t *testing.T) {
	in, out := folder(t, 1, checkpoint.F32), filepath.Join(t.TempDir(), "out.gguf")
	want, err := tokenizer.New(tokenizer.Vocabulary{Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"},
		Pattern: tokenizer.DeepSeekV3, Added: []tokenizer.Added{{ID: 3, Content: "<bos>", Special: true}}, Prefix: []int32{3}})
	must(t, err)
	must(t, want.Save(in))
	must(t, os.WriteFile(filepath.Join(in, "chat_template.jinja"), []byte("{{ 1 }}"), 0o666))
	must(t, convert(t.Context(), options{in: in, out: out, gguf: true, ggufType: gguf.Q8_0}))
	got, err := tokenizer.Load(out)
	must(t, err)
	ids, err := got.Encode("abba")
	if template, missing := chat.Jinja(out); err != nil || !slices.Equal(ids, []int32{3, 2, 1, 0}) || template != "{{ 1 }}" {
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
		t.Errorf("there is a file: %v", err)
	}
}
