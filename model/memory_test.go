package model_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// The default options keep the cache within its budget: a default of
// max_position_embeddings per slot would take 481 GB for R1DistillQwen1_5B.
func TestZeroGeneratorOptionsAskForWhatIsSensible(t *testing.T) {
	tiny := model.Tiny(32)
	long := model.R1DistillQwen1_5B()
	long.NumHiddenLayers = 300 // a single sequence exceeds the budget
	mla := model.DeepSeekV2Lite()
	mla.NumHiddenLayers = 2
	for _, c := range []struct {
		name   string
		cfg    model.Config
		o      model.Options
		g      model.GeneratorOptions
		tokens int // slots times tokens
		width  int // elements of keys and values per token
	}{
		{"R1DistillQwen1_5B", model.R1DistillQwen1_5B(), model.Options{}, model.GeneratorOptions{}, 9 * 4096,
			28 * 2 * 2 * 128},
		{"short sequences", model.R1DistillQwen1_5B(), model.Options{}, model.GeneratorOptions{MaxLen: 1024}, 36 * 1024,
			28 * 2 * 2 * 128},
		{"slots given", model.R1DistillQwen1_5B(), model.Options{}, model.GeneratorOptions{Slots: 2}, 2 * 4096,
			28 * 2 * 2 * 128},
		{"one slot at least", long, model.Options{}, model.GeneratorOptions{}, 4096, 300 * 2 * 2 * 128},
		{"64 slots at most", tiny, model.Options{}, model.GeneratorOptions{}, 64 * 256, 4 * 4 * (32 + 16 + 32)},
		{"MLA", mla, model.Options{}, model.GeneratorOptions{}, 12 * 4096, 2 * 16 * (128 + 64 + 128)},
		{"absorbed MLA", mla, model.Options{Absorbed: true}, model.GeneratorOptions{}, 64 * 4096, 2 * (512 + 64)},
		// In BF16 a token takes half the memory, so twice as many fit.
		{"BF16", model.R1DistillQwen1_5B(), model.Options{Precision: backend.BF16}, model.GeneratorOptions{}, 18 * 4096,
			28 * 2 * 2 * 128},
		{"a cache of BF16", tiny, model.Options{}, model.GeneratorOptions{Cache: backend.BF16}, 64 * 256,
			4 * 4 * (32 + 16 + 32)},
		{"RoundKV", tiny, model.Options{RoundKV: true}, model.GeneratorOptions{}, 64 * 256, 4 * 4 * (32 + 16 + 32)},
	} {
		d := backend.DryRun(open(t))
		m, err := model.NewWith(d, c.cfg, 1, c.o)
		must(t, err)
		_, err = model.NewGenerator(m, c.g)
		must(t, err)
		size := 4
		if c.o.Precision == backend.BF16 || c.o.RoundKV || c.g.Cache == backend.BF16 {
			size = 2
		}
		if got, want := d.Memory().By[backend.KVCache], c.tokens*c.width*size; got != want {
			t.Errorf("%s: %d bytes of keys and values, want %d", c.name, got, want)
		}
	}
}

// exactly checks that run needs exactly est.Peak bytes of a CPU: it succeeds with that
// limit and fails with one byte less.
func exactly(t *testing.T, name string, est backend.Memory, run func(backend.Backend) error) {
	t.Helper()
	for _, limit := range []int{est.Peak, est.Peak - 1} {
		b, err := cpu.New(cpu.Options{MemoryLimit: limit})
		must(t, err)
		defer b.Close()
		fits := est.Fits(b)
		if err := run(b); (err == nil) != (limit == est.Peak) || (fits == nil) != (err == nil) {
			t.Errorf("%s: estimated %s; with %d bytes: error %v, Fits %v", name, est, limit, err, fits)
		}
	}
	sum := 0
	for _, n := range est.By {
		sum += n
	}
	if sum != est.Peak {
		t.Errorf("%s: holders have %d bytes of %d", name, sum, est.Peak)
	}
}

// fill sets parameters without values to zeros, matrix by matrix.
func fill(params []*tensor.Param) error {
	var w tensor.RowWriter
	defer w.Close()
	for _, p := range params {
		matrices, rows := 1, 1 // number of rows of each matrix
		switch shape := p.Shape(); len(shape) {
		case 2:
			rows = shape[0]
		case 3:
			matrices, rows = shape[0], shape[1]
		}
		for i := range matrices {
			if err := w.Set(p, i*rows, backend.F32, make([]byte, 4*p.Len()/matrices)); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestMemoryOfAModelIsKnownToTheByte(t *testing.T) {
	qwen := model.R1DistillQwen1_5B()
	qwen.HiddenSize, qwen.IntermediateSize, qwen.NumHiddenLayers, qwen.VocabSize = 96, 160, 2, 300
	qwen.NumAttentionHeads, qwen.NumKeyValueHeads, qwen.HeadDim, qwen.MaxPositionEmbeddings = 3, 1, 32, 64
	qwen.BOSTokenID, qwen.EOSTokenID = nil, nil
	for _, cfg := range []model.Config{small(), qwen} {
		for _, o := range []model.Options{
			{}, {DType: backend.F64}, {Absorbed: cfg.IsMLA()}, {Precision: backend.BF16}, {RoundKV: true},
			{Format: backend.BFloat16},
			{Format: backend.BFloat16, Packed: true}, {Format: backend.Q8, Packed: true}, {Format: backend.Q4, Packed: true,
				Precision: backend.BF16},
			{Format: backend.Q4_1, Packed: true}, {Tables: backend.BFloat16}, {Uninitialized: true},
			{Format: backend.FP8, Tables: backend.FP8, Packed: true},
			{Format: backend.Q8, Tables: backend.Q8, Packed: true, Uninitialized: true},
		} {
			name := fmt.Sprintf("%s of width %d, %+v", cfg.ModelType, cfg.HiddenSize, o)
			est, err := model.Memory(open(t), cfg, o)
			must(t, err)
			exactly(t, name, est, func(b backend.Backend) error {
				m, err := model.NewWith(b, cfg, 1, o)
				if err == nil {
					m.Free()
				}
				return err
			})
			var reqs []model.Request
			for i := range 5 {
				reqs = append(reqs, model.Request{Prompt: make([]int32, 3+i), MaxTokens: 3 + 2*i, Stop: []int32{}})
			}
			g := model.GeneratorOptions{Slots: 3, MaxLen: 20, PrefillRows: 8}
			est, err = model.GeneratorMemory(open(t), cfg, o, g, reqs)
			must(t, err)
			exactly(t, "generator: "+name, est, func(b backend.Backend) error {
				m, err := model.NewWith(b, cfg, 1, o)
				if err != nil {
					return err
				}
				defer m.Free()
				if o.Uninitialized {
					if err := fill(m.Params.All()); err != nil {
						return err
					}
				}
				gen, err := model.NewGenerator(m, g)
				if err != nil {
					return err
				}
				defer gen.Close()
				if err := gen.Prepare(); err != nil {
					return err
				}
				for range 2 {
					if _, err := gen.Generate(t.Context(), reqs); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
}

// A model or generator that does not fit is an error that names the largest uses of memory,
// and leaves nothing allocated.
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
	large := model.Tiny(32)
	large.HiddenSize = 4096
	_, err = model.New(b, large, 1)
	refused(err, "for parameters do not fit", "in use: parameters ")
	if n := inUse(); n != 0 {
		t.Errorf("%d bytes in use after a model that did not fit", n)
	}

	m, err := model.New(b, model.Tiny(32), 1)
	must(t, err)
	before := inUse()
	if before < 4*m.Params.Len() {
		t.Errorf("%d bytes in use by %d parameters", before, m.Params.Len())
	}
	_, err = model.NewGenerator(m, model.GeneratorOptions{Slots: 64})
	refused(err, "attention: cache F32[16384 4 32]: cpu: out of memory: 8.0 MiB for KV cache do not fit",
		"KV cache 12.0 MiB", "parameters ")
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
