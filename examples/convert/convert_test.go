package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/mtp"
)

// asCommand is an environment variable: if it is set, the test binary runs as the command
// convert.
const asCommand = "CONVERT_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// The flags of the command take effect.
func TestFlagsOfTheCommand(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	a, b, out := folder(t, 1, checkpoint.F32), folder(t, 2, checkpoint.F32), filepath.Join(t.TempDir(), "out")
	c := exec.CommandContext(t.Context(), self, "-in", a, "-average", b, "-out", out, "-dtype", "bf16", "-mtp", "drop",
		"-shard", "0.0005")
	c.Env = append(os.Environ(), asCommand+"=1")
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	x, _ := content(t, a)
	y, _ := content(t, b)
	got, dtypes := content(t, out)
	const name = "model.norm.weight"
	if want := backend.BF16.Round(float64(x[name][0]/2 + y[name][0]/2)); float64(got[name][0]) != want ||
		dtypes[name] != checkpoint.BF16 || len(got) >= len(x) {
		t.Errorf("%s is %s %v, want %v; %d tensors of %d", name, dtypes[name], got[name][0], want, len(got), len(x))
	}
	if _, err := os.Stat(filepath.Join(out, checkpoint.IndexFile)); err != nil {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// folder saves a tiny DeepSeek-V3 model initialised from seed, with its module of
// multi-token prediction.
func folder(t *testing.T, seed uint64, dt checkpoint.DType) string {
	t.Helper()
	b, err := backend.Open("cpu")
	must(t, err)
	t.Cleanup(func() { b.Close() })
	cfg := model.Tiny(32)
	cfg.InitializerRange = 0.1
	m, err := model.New(b, cfg, seed)
	must(t, err)
	defer m.Free()
	_, err = mtp.New(m)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "model")
	must(t, model.Save(dir, m, model.SaveOptions{DType: dt, ShardBytes: 500_000}))
	must(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(`{"version": "1.0"}`), 0o666))
	return dir
}

// content returns the values and dtypes of all tensors of a folder, without scales.
func content(t *testing.T, dir string) (values map[string][]float32, dtypes map[string]checkpoint.DType) {
	t.Helper()
	r, err := checkpoint.Open(dir)
	must(t, err)
	defer r.Close()
	values, dtypes = map[string][]float32{}, map[string]checkpoint.DType{}
	for _, info := range shapes(r) {
		rows, err := r.Rows(info.Name, [2]int{})
		must(t, err)
		must(t, rows.Each(1, func(_ int, x []float32) error {
			values[info.Name] = append(values[info.Name], x...)
			return nil
		}))
		dtypes[info.Name] = info.DType
	}
	return values, dtypes
}

const projection = "model.layers.1.mlp.experts.2.down_proj.weight"

func run(t *testing.T, o options) string {
	t.Helper()
	o.out, o.shardBytes = filepath.Join(t.TempDir(), "out"), 500_000
	must(t, convert(t.Context(), o))
	return o.out
}

func TestConvertBetweenDTypes(t *testing.T) {
	fp8 := folder(t, 1, checkpoint.F8E4M3)
	values, _ := content(t, fp8)
	toBF16 := run(t, options{in: fp8, dtype: checkpoint.BF16})
	got, dtypes := content(t, toBF16)
	for name, want := range values {
		for i, x := range want {
			if dtypes[name] == checkpoint.BF16 {
				x = float32(backend.BF16.Round(float64(x)))
			}
			if got[name][i] != x {
				t.Fatalf("BF16 of FP8: %s: %v, want %v", name, got[name][i], x)
			}
		}
	}
	if dtypes[projection] != checkpoint.BF16 || len(got) != len(values) {
		t.Errorf("%s is %s; %d tensors of %d", projection, dtypes[projection], len(got), len(values))
	}
	cfg, err := model.ReadConfig(filepath.Join(toBF16, "config.json"))
	must(t, err)
	if cfg.DType != "bfloat16" || cfg.Quantization != nil {
		t.Errorf("config of %s, %v", cfg.DType, cfg.Quantization)
	}
	if _, err := os.Stat(filepath.Join(toBF16, "tokenizer.json")); err != nil {
		t.Error(err)
	}
	// FP8 to F32 and back keeps the values: F32 holds the product of element and scale exactly.
	toF32 := run(t, options{in: fp8, dtype: checkpoint.F32})
	back := run(t, options{in: toF32, dtype: checkpoint.F8E4M3})
	again, dtypes := content(t, back)
	for name, want := range values {
		if !slices.Equal(again[name], want) {
			t.Errorf("FP8 to F32 and back: %s changed", name)
		}
	}
	if cfg, err = model.ReadConfig(filepath.Join(back, "config.json")); err != nil || cfg.Quantization == nil ||
		dtypes[projection] != checkpoint.F8E4M3 {
		t.Errorf("%s, quantization_config %v, error %v", dtypes[projection], cfg.Quantization, err)
	}
	// Without a dtype the tensors are copied.
	copied, _ := content(t, run(t, options{in: fp8}))
	for name, want := range values {
		if !slices.Equal(copied[name], want) {
			t.Errorf("copy: %s changed", name)
		}
	}
}

// editConfig replaces the first old in a folder's config.json by text.
func editConfig(t *testing.T, dir, old, text string) {
	t.Helper()
	path := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(path)
	must(t, err)
	changed := strings.Replace(string(b), old, text, 1)
	if changed == string(b) {
		t.Fatalf("no %s in %s", old, b)
	}
	must(t, os.WriteFile(path, []byte(changed), 0o666))
}

// Models of the same shapes can still differ in what they compute.
func TestConvertRefusesTheAverageOfTwoConfigs(t *testing.T) {
	a, b := folder(t, 1, checkpoint.F32), folder(t, 2, checkpoint.F32)
	editConfig(t, b, `"rope_theta": 10000.0`, `"rope_theta": 50000.0`)
	err := convert(t.Context(), options{in: a, average: b, out: filepath.Join(t.TempDir(), "out"), shardBytes: 1 << 30})
	if err == nil || !strings.Contains(err.Error(), "rope_theta is 10000.0") {
		t.Error(err)
	}
}

// If FP8 scales that the config declares are missing, that is an error; they do not default
// to 1.
func TestConvertRefusesFP8WithoutItsScales(t *testing.T) {
	in := folder(t, 1, checkpoint.F8E4M3)
	r, err := checkpoint.Open(in)
	must(t, err)
	defer r.Close()
	var names []string
	for _, info := range r.Tensors() {
		if info.Name != projection+"_scale_inv" {
			names = append(names, info.Name)
		}
	}
	kept, err := r.Verbatim(names)
	must(t, err)
	damaged := filepath.Join(t.TempDir(), "damaged")
	text, err := os.ReadFile(filepath.Join(in, "config.json"))
	must(t, err)
	must(t, checkpoint.WriteFolder(damaged, checkpoint.Folder{Tensors: kept, Files: map[string]func(io.Writer) error{
		"config.json": func(w io.Writer) error { _, err := w.Write(text); return err },
	}}))
	for _, dt := range []checkpoint.DType{"", checkpoint.BF16, checkpoint.F8E4M3} {
		out := filepath.Join(t.TempDir(), "out")
		err := convert(t.Context(), options{in: damaged, dtype: dt, out: out, shardBytes: 1 << 30})
		if !errors.Is(err, checkpoint.ErrMissing) || !strings.Contains(err.Error(), projection+"_scale_inv") {
			t.Errorf("%q: %v", dt, err)
		}
	}
}

func TestConvertAverages(t *testing.T) {
	a, b := folder(t, 1, checkpoint.F32), folder(t, 2, checkpoint.BF16)
	x, _ := content(t, a)
	y, _ := content(t, b)
	got, dtypes := content(t, run(t, options{in: a, average: b}))
	for name := range x {
		for i := range x[name] {
			if want := x[name][i]/2 + y[name][i]/2; got[name][i] != want {
				t.Fatalf("%s: %v, want %v", name, got[name][i], want)
			}
		}
		if dtypes[name] != checkpoint.F32 {
			t.Errorf("%s is %s", name, dtypes[name])
		}
	}
	other := run(t, options{in: b, dropMTP: true})
	out := filepath.Join(t.TempDir(), "out")
	err := convert(t.Context(), options{in: a, average: other, out: out, shardBytes: 1e6})
	if err == nil || !strings.Contains(err.Error(), `tensor "model.layers.4.`) ||
		!strings.Contains(err.Error(), "is not in "+other) {
		t.Errorf("error %v", err)
	}
}

func TestConvertDropsPrediction(t *testing.T) {
	in := folder(t, 1, checkpoint.F32)
	values, _ := content(t, in)
	out := run(t, options{in: in, dropMTP: true})
	got, _ := content(t, out)
	for name, want := range values {
		mtp := strings.HasPrefix(name, "model.layers.4.")
		if mtp == (got[name] != nil) || !mtp && !slices.Equal(got[name], want) {
			t.Errorf("%s is there: %t", name, got[name] != nil)
		}
	}
	cfg, err := model.ReadConfig(filepath.Join(out, "config.json"))
	if err != nil || cfg.NumNextNPredictLayers != 0 {
		t.Errorf("%d modules, error %v", cfg.NumNextNPredictLayers, err)
	}
	err = convert(t.Context(), options{in: out, out: filepath.Join(t.TempDir(), "out"), dropMTP: true, shardBytes: 1e6})
	if err == nil || !strings.Contains(err.Error(), "has no module") {
		t.Errorf("nothing to drop: error %v", err)
	}
}

func TestConvertRefuses(t *testing.T) {
	in := folder(t, 1, checkpoint.F32)
	for _, c := range []struct{ dtype, mtp, gguf, want string }{
		{"q8", "keep", "", "GGUF"}, {"q4_1", "keep", "", "GGUF"}, {"int8", "keep", "", "want f32, bf16 or fp8"},
		{"", "some", "", "want keep or drop"}, {"", "keep", "q4_1", "want f16 or q8_0"}, {"bf16", "keep", "f16", "exclude"},
	} {
		o := options{in: "a", out: "b"}
		if err := o.set(c.dtype, c.mtp, c.gguf, 5); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("-dtype %s -mtp %s -gguf %s: error %v", c.dtype, c.mtp, c.gguf, err)
		}
	}
	o := options{in: "a", out: "b.gguf"}
	if err := o.set("", "keep", "", 5); err == nil || !strings.Contains(err.Error(), "-out b.gguf: to write a GGUF file") {
		t.Errorf("a folder called b.gguf: error %v", err)
	}
	before, _ := content(t, in)
	if err := convert(t.Context(), options{in: in, out: in, shardBytes: 1e6}); err == nil ||
		!strings.Contains(err.Error(), "is not empty") {
		t.Errorf("into its input: error %v", err)
	}
	if after, _ := content(t, in); len(after) != len(before) {
		t.Error("the input changed")
	}
	if err := convert(t.Context(), options{in: in, out: in, gguf: true}); err == nil ||
		!strings.Contains(err.Error(), "exists already") {
		t.Errorf("a GGUF file into its input: error %v", err)
	}
}

// No folder is left after a signal, or if a byte changes on the way to the disk.
func TestConvertLeavesNothingHalfDone(t *testing.T) {
	in, parent := folder(t, 1, checkpoint.F32), t.TempDir()
	out := filepath.Join(parent, "out")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	cancel(stop)
	if err := convert(ctx, options{in: in, out: out, dtype: checkpoint.BF16, shardBytes: 1e6}); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	c := &conversion{options: options{in: in, out: out, dtype: checkpoint.BF16, shardBytes: 1e6}, ctx: t.Context()}
	var err error
	c.cfg, err = model.ReadConfig(filepath.Join(in, "config.json"))
	must(t, err)
	c.a, err = checkpoint.Open(in)
	must(t, err)
	defer c.a.Close()
	must(t, c.plan())
	for i, it := range c.items {
		if it.name != projection {
			continue
		}
		whole := it.tensors[0].Stream
		c.items[i].tensors[0].Stream = func(w io.Writer) error { return whole(flipped{w}) }
	}
	if err := c.write(); err == nil || !strings.Contains(err.Error(), projection) {
		t.Errorf("a changed tensor: error %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

// flipped is a writer that flips a bit in the exponent of the first element of each write.
type flipped struct{ w io.Writer }

func (f flipped) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	p[1] ^= 1
	return f.w.Write(p)
}
