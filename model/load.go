package model

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// LoadOptions describes how a model is loaded. The zero value makes an F32 model.
type LoadOptions struct {
	// Options are those of NewWith. Uninitialized is always set.
	Options
	// Config is the model's config. If nil, Load uses the result of LoadConfig.
	Config *Config
	// Modules adds parameters to the model that are in the files too, such as those of
	// mtp.New. Load calls it twice: first with a model on a backend.DryRun, to find out
	// which tensors and how much memory are needed, then with the model that Load returns.
	// If nil, nothing is added.
	Modules func(*Model) error
	// FollowLinks allows files of the folder to be symbolic links that leave it, see
	// checkpoint.OpenOptions.
	FollowLinks bool
	// Progress is called with the number of bytes of tensors read so far and the total. If
	// nil, nothing is reported.
	Progress func(done, total int64)
}

// Load loads the model of the checkpoint at path: a folder of safetensors files with a
// config.json, as transformers writes it, or a single safetensors file, or a single GGUF
// file, as llama.cpp writes it. Parameters have the dtypes that Options give;
// checkpoint.Reader.Load describes how tensors are converted to them, including FP8 with
// scales.
//
// Of GGUF, Load reads the architectures llama, qwen2, qwen3, qwen3moe and deepseek2, with
// tensors of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K. Parameters packed in
// backend.Q8, Q4 and Q4_1 take Q8_0, Q4_0 and Q4_1 without a change of value, except for a
// kv_b_proj that GGUF splits in two. All other quantised tensors are dequantised to F32 and
// quantised again if Options give a format.
//
// Before it allocates memory, Load compares the names, shapes and dtypes of the tensors
// with the config, and the memory needed with what b has left. Loading takes a few
// megabytes on top of that. Errors name the file and the tensor.
//
// An lm_head.weight in a model with tied embeddings must equal the embedding. MTP modules
// share embedding and head with the model: copies of these in the modules' layers are
// dropped from Unclaimed if they are equal.
func Load(b backend.Backend, path string, o LoadOptions) (*Model, *Source, error) {
	r, cfg, s, err := openCheckpoint(path, o)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	l := loading{r: r, cfg: cfg, o: o}
	if err := l.check(b); err != nil {
		return nil, nil, fmt.Errorf("model: load %s: %w", path, err)
	}
	m, err := l.make(b)
	if err != nil {
		return nil, nil, fmt.Errorf("model: load %s: %w", path, err)
	}
	unclaimed, err := r.Load(m.Params.All(), l.files())
	if err == nil {
		unclaimed, err = l.withoutCopies(unclaimed, m)
	}
	if err != nil {
		m.Free()
		return nil, nil, fmt.Errorf("model: load %s: %w", path, err)
	}
	s.Config, s.Unclaimed = cfg, unclaimed
	return m, s, nil
}

// LoadConfig reads the config of the checkpoint at path, which may be any that Load takes:
// the config.json in the folder or next to the file, or the equivalent of a GGUF file's
// metadata.
func LoadConfig(path string) (Config, error) {
	if gguf.IsGGUF(path) {
		r, _, c, err := OpenGGUF(path)
		if err == nil {
			err = r.Close()
		}
		return c, err
	}
	dir, err := folderOf(path)
	if err != nil {
		return Config{}, fmt.Errorf("model: config: %w", err)
	}
	return ReadConfig(filepath.Join(dir, "config.json"))
}

// folderOf returns the folder of a file; of a folder, path itself.
func folderOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return filepath.Dir(path), nil
	}
	return path, err
}

// openCheckpoint opens the files at path and returns the model's config.
func openCheckpoint(path string, o LoadOptions) (*checkpoint.Reader, Config, *Source, error) {
	dir, err := folderOf(path)
	if err != nil {
		return nil, Config{}, nil, fmt.Errorf("model: load: %w", err)
	}
	s := &Source{Dir: dir, path: path, followLinks: o.FollowLinks}
	if gguf.IsGGUF(path) {
		r, metadata, c, err := OpenGGUF(path)
		if err == nil && o.Config != nil {
			c = *o.Config
		}
		s.Metadata = metadata
		return r, c, s, err
	}
	files := checkpoint.OpenOptions{FollowLinks: o.FollowLinks}
	var c Config
	if o.Config != nil {
		c = *o.Config
	} else if c, err = readConfig(filepath.Join(dir, "config.json"), files); err != nil {
		return nil, c, nil, err
	}
	r, err := s.open()
	return r, c, s, err
}

// headName is the name of the output head, which tied models lack.
const headName = "lm_head.weight"

// loading is the state of a call of Load.
type loading struct {
	r   *checkpoint.Reader
	cfg Config
	o   LoadOptions
}

// files returns the options for reading the files.
func (l *loading) files() checkpoint.LoadOptions {
	return checkpoint.LoadOptions{Block: l.cfg.Quantization.Block(), Progress: l.o.Progress}
}

// make makes the model without values.
func (l *loading) make(b backend.Backend) (*Model, error) {
	o := l.o.Options
	o.Uninitialized = true
	m, err := NewWith(b, l.cfg, 0, o)
	if err != nil {
		return nil, err
	}
	if l.o.Modules != nil {
		if err := l.o.Modules(m); err != nil {
			m.Free()
			return nil, err
		}
	}
	return m, nil
}

// check compares the config with the files, and the memory that the model takes with what
// is left.
func (l *loading) check(b backend.Backend) error {
	if err := l.cfg.Validate(); err != nil {
		return err
	}
	// Even a dry run stores a record for each parameter and the tables of RoPE. Check first
	// that the layers are no more than the tensors in the files, and that the tables fit in
	// memory.
	if n, have := l.cfg.NumHiddenLayers, len(l.r.Tensors()); n > have {
		return fmt.Errorf("num_hidden_layers is %d, the files have %d tensors in all", n, have)
	}
	angles := l.cfg.MaxPositionEmbeddings * l.cfg.RoPEDim() * 4
	if err := (backend.Memory{Peak: angles, By: map[backend.Holder]int{backend.Tables: angles}}).Fits(b); err != nil {
		return fmt.Errorf("max_position_embeddings is %d: %w", l.cfg.MaxPositionEmbeddings, err)
	}
	d := backend.DryRun(b)
	m, err := l.make(d)
	if err != nil {
		return err
	}
	if err := l.r.Check(m.Params.All(), l.files()); err != nil {
		return err
	}
	return d.Memory().Fits(b)
}

// withoutCopies removes from unclaimed the tensors that are copies of the model's embedding
// and head.
func (l *loading) withoutCopies(unclaimed []string, m *Model) ([]string, error) {
	embed, head := m.Embed.Name, headName
	copies := map[string]string{} // name of each copy to the name of its original
	if m.Config.TieWordEmbeddings {
		copies[headName] = embed
		if _, ok := l.r.Find(embed); !ok {
			embed = headName
		}
		head = embed
	}
	for k := range m.Config.NumNextNPredictLayers {
		layer := fmt.Sprintf("model.layers.%d.", m.Config.NumHiddenLayers+k)
		if m.Params.Get(layer+"enorm.weight") != nil {
			copies[layer+"embed_tokens.weight"] = embed
			copies[layer+"shared_head.head.weight"] = head
		}
	}
	for name, of := range copies {
		t, ok := l.r.Find(name)
		i, listed := slices.BinarySearch(unclaimed, t.Name)
		if !ok || !listed {
			continue
		}
		same, err := l.r.Equal(name, of)
		if err != nil {
			return nil, err
		}
		if same {
			unclaimed = slices.Delete(unclaimed, i, i+1)
		} else if name == headName {
			return nil, &checkpoint.FormatError{File: t.File, Tensor: t.Name, Err: fmt.Errorf("differs from %s, "+
				"to which the config ties it: set tie_word_embeddings to false to load both", of)}
		}
	}
	return unclaimed, nil
}
