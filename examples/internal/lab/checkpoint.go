package lab

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// FormatName returns the name of f on command lines: f32 for Native, the format's own name
// for others.
func FormatName(f backend.Format) string {
	if f == backend.Native {
		return "f32"
	}
	return f.String()
}

// Format returns the format that the flag -format names.
func Format(name string) (backend.Format, error) {
	var names []string
	for _, f := range backend.Formats() {
		if FormatName(f) == name {
			return f, nil
		}
		names = append(names, FormatName(f))
	}
	return backend.Native, fmt.Errorf("-format %q, want some of %s", name, strings.Join(names, ", "))
}

// ReadConfig reads the config of the model at path, which is a path for model.Load. dir is the
// folder of the model; it is "" for a GGUF file, which needs no other files.
func ReadConfig(path string) (c model.Config, dir string, err error) {
	if path == "" {
		return c, "", errors.New("-model is missing: a model folder, or a .safetensors or .gguf file")
	}
	info, err := os.Stat(path)
	if err != nil {
		return c, "", fmt.Errorf("-model: %w", err)
	}
	switch {
	case info.IsDir():
		dir = path
	case !gguf.IsGGUF(path):
		dir = filepath.Dir(path)
	}
	c, err = model.LoadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("-model %s: no config.json: %w", path, cmp.Or(adapterOnly(dir), err))
	}
	return c, dir, err
}

// adapterOnly returns an error that says what to do instead if dir, which has no config.json,
// holds an adapter in PEFT's format. Otherwise it returns nil.
func adapterOnly(dir string) error {
	const file = "adapter_config.json"
	text, err := checkpoint.ReadFile(dir, file, checkpoint.OpenOptions{})
	if err != nil {
		return nil
	}
	var adapter struct {
		Base string `json:"base_model_name_or_path"`
	}
	base := "its base model" // adapter_config.json may lack the name
	if err := json.Unmarshal(text, &adapter); err == nil && adapter.Base != "" {
		base = fmt.Sprintf("its base model, %.200q", adapter.Base)
	}
	// A run that trains adapters saves them and the merged model in two folders of its output.
	out := filepath.Dir(filepath.Clean(dir))
	merged := filepath.Join(out, ModelFolder)
	for _, config := range []string{filepath.Join(out, "config.json"), filepath.Join(merged, "config.json")} {
		if _, err := os.Stat(config); err != nil {
			return fmt.Errorf("%s shows that it is an adapter, and no flag takes an adapter: merge it into %s "+
				"(in PEFT with merge_and_unload), and set -model to the merged model", file, base)
		}
	}
	return fmt.Errorf("%s shows that it is an adapter, and no flag takes an adapter: set -model to %s, where it is "+
		"merged into %s", file, merged, base)
}

// Load loads the model at path for inference, with weights in format f, and shows the
// progress. It prints keys of c and tensors of the files that the model does not use to
// standard error. The embedding and the head are in format f too, but in BF16 if f is FP8, as
// DeepSeek-V3 stores them, and in Q8 if f is Q4_1, as in llama.cpp.
func Load(b backend.Backend, path string, c model.Config, f backend.Format) (*model.Model, error) {
	o := model.LoadOptions{Options: model.Options{Format: f, Tables: f, Packed: true}, Config: &c}
	switch f {
	case backend.FP8:
		o.Tables = backend.BFloat16
	case backend.Q4_1:
		o.Tables = backend.Q8
	}
	shown, end := progress.Watch("loading", "MB")
	defer end()
	o.Progress = func(done, total int64) {
		const mb = 1e6
		shown(int(math.Ceil(float64(done)/mb)), int(math.Ceil(float64(total)/mb)))
	}
	m, source, err := model.Load(b, path, o)
	if err != nil {
		return nil, err
	}
	end()
	for _, line := range append(UnknownKeys(c), unclaimed(c, source.Unclaimed)...) {
		fmt.Fprintln(os.Stderr, path+": "+line)
	}
	return m, nil
}

// UnknownKeys returns a line that reports the keys of a config.json that the library does
// not know, or nil if there are none.
func UnknownKeys(c model.Config) []string {
	keys := c.Unknown()
	if len(keys) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("config.json: the model is computed as if these keys were not there: %s",
		strings.Join(keys, ", "))}
}

// unclaimed returns a line that reports tensors that the model does not use, or nil if there
// are none. It does not report modules of multi-token prediction, since generation does not
// need them.
func unclaimed(c model.Config, names []string) []string {
	const shown = 5
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		for k := range c.NumNextNPredictLayers {
			if strings.HasPrefix(strings.TrimPrefix(name, "model."), fmt.Sprintf("layers.%d.", c.NumHiddenLayers+k)) {
				return true
			}
		}
		return false
	})
	if len(names) == 0 {
		return nil
	}
	line := "tensors that the model does not have are left out: " + strings.Join(names[:min(shown, len(names))], ", ")
	if more := len(names) - shown; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	return []string{line}
}
