package model_test

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
)

// hollow is a backend without memory, which computes nothing: it counts what it
// is asked for.
type hollow struct {
	backend.Backend
	asked map[backend.Holder]int
}

type emptyBuffer int

func (b emptyBuffer) Bytes() int { return int(b) }

func (h *hollow) AllocFor(holder backend.Holder, bytes int) (backend.Buffer, error) {
	h.asked[holder] += bytes
	return emptyBuffer(bytes), nil
}

func (h *hollow) Free(backend.Buffer)                        {}
func (h *hollow) Upload(backend.Buffer, int, []byte) error   { return nil }
func (h *hollow) Download([]byte, backend.Buffer, int) error { return nil }
func (h *hollow) Do(backend.Op) error                        { return nil }

// Before, the zero options asked for 481 GB of R1DistillQwen1_5B's keys and values.
func TestZeroGeneratorOptionsAskForWhatIsSensible(t *testing.T) {
	tiny := model.Tiny()
	long := model.R1DistillQwen1_5B()
	long.NumHiddenLayers = 300 // a sequence takes more than the budget
	mla := model.DeepSeekV2Lite()
	mla.NumHiddenLayers = 2 // the experts' random numbers are not drawn, but named
	for _, c := range []struct {
		name   string
		cfg    model.Config
		o      model.Options
		g      model.GeneratorOptions
		tokens int // slots × tokens
		width  int // elements of keys and values a token
	}{
		{"R1DistillQwen1_5B", model.R1DistillQwen1_5B(), model.Options{}, model.GeneratorOptions{}, 9 * 4096, 28 * 2 * 2 * 128},
		{"short sequences", model.R1DistillQwen1_5B(), model.Options{}, model.GeneratorOptions{MaxLen: 1024}, 36 * 1024, 28 * 2 * 2 * 128},
		{"slots given", model.R1DistillQwen1_5B(), model.Options{}, model.GeneratorOptions{Slots: 2}, 2 * 4096, 28 * 2 * 2 * 128},
		{"one slot at least", long, model.Options{}, model.GeneratorOptions{}, 4096, 300 * 2 * 2 * 128},
		{"64 slots at most", tiny, model.Options{}, model.GeneratorOptions{}, 64 * 256, 4 * 4 * (32 + 16 + 32)},
		{"MLA", mla, model.Options{}, model.GeneratorOptions{}, 12 * 4096, 2 * 16 * (128 + 64 + 128)},
		{"absorbed MLA", mla, model.Options{Absorbed: true}, model.GeneratorOptions{}, 64 * 4096, 2 * (512 + 64)},
		// In BF16 a token takes half, so that twice as many fit.
		{"BF16", model.R1DistillQwen1_5B(), model.Options{Precision: backend.BF16}, model.GeneratorOptions{}, 18 * 4096, 28 * 2 * 2 * 128},
		{"a cache of BF16", tiny, model.Options{}, model.GeneratorOptions{Cache: backend.BF16}, 64 * 256, 4 * 4 * (32 + 16 + 32)},
		{"RoundKV", tiny, model.Options{RoundKV: true}, model.GeneratorOptions{}, 64 * 256, 4 * 4 * (32 + 16 + 32)},
	} {
		h := &hollow{open(t), map[backend.Holder]int{}}
		m, err := model.NewWith(h, c.cfg, 1, c.o)
		must(t, err)
		g, err := model.NewGenerator(m, c.g)
		must(t, err)
		g.Close()
		size := 4
		if c.o.Precision == backend.BF16 || c.o.RoundKV || c.g.Cache == backend.BF16 {
			size = 2
		}
		if got, want := h.asked[backend.KVCache], c.tokens*c.width*size; got != want {
			t.Errorf("%s: %d bytes of keys and values, want %d", c.name, got, want)
		}
	}
}

// What does not fit is an error with the largest holders, and leaves nothing.
func TestModelsAndGeneratorsThatDoNotFitAreErrors(t *testing.T) {
	b, err := cpu.New(cpu.Options{MemoryLimit: 24 << 20})
	must(t, err)
	defer b.Close()
	inUse := func() int {
		total, free := b.MemInfo()
		return total - free
	}
	refused := func(err error, want ...string) {
		t.Helper()
		want = append(want, "the budget is 24.0 MiB (Options.MemoryLimit)")
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("error %v, want one with %q", err, w)
			}
		}
	}
	large := model.Tiny()
	large.HiddenSize = 4096
	_, err = model.New(b, large, 1)
	refused(err, "for parameters do not fit", "in use: parameters ")
	if n := inUse(); n != 0 {
		t.Errorf("%d bytes in use after a model that did not fit", n)
	}

	m, err := model.New(b, model.Tiny(), 1)
	must(t, err)
	before := inUse()
	if before < 4*m.Params.Len() {
		t.Errorf("%d bytes in use by %d parameters", before, m.Params.Len())
	}
	_, err = model.NewGenerator(m, model.GeneratorOptions{Slots: 64})
	refused(err, "attention: cache F32[16384 4 32]: cpu: out of memory: 8.0 MiB for KV cache do not fit", "KV cache 12.0 MiB", "parameters ")
	if n := inUse(); n != before {
		t.Errorf("%d bytes in use after a generator that did not fit, %d before", n, before)
	}

	prompt := make([]int32, 200)
	complete(t, m, model.GeneratorOptions{Slots: 1}, []model.Request{{Prompt: prompt, MaxTokens: 2}})
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 4})
	must(t, err)
	var reqs []model.Request
	for i := range 4 {
		reqs = append(reqs, model.Request{Prompt: prompt[i:], MaxTokens: 2})
	}
	_, err = g.Generate(t.Context(), reqs)
	refused(err, "for activations do not fit", "KV cache ", "packed copies ")
	g.Close()
	m.Free()
	if n := inUse(); n != 0 {
		t.Errorf("%d bytes in use at the end", n)
	}
}
