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

// LoadOptions say how a model is loaded. The zero value makes an F32 model.
type LoadOptions struct {
	// Options are those of NewWith. Uninitialized is implied: nothing is drawn.
	Options
	// Config is the model's. If nil, it is that of LoadConfig.
	Config *Config
	// Modules adds parameters to the model that are in the files too, such as those of
	// mtp.New. It is called twice: first with a model on a backend.DryRun, to know which
	// tensors and how much memory are needed, then with the model that Load returns. If
	// nil, there are none.
	Modules func(*Model) error
	// FollowLinks reads files of the folder that are symbolic links to outside of it,
	// see checkpoint.OpenOptions.
	FollowLinks bool
	// Progress is called with the bytes of tensors read so far and in all. If nil,
	// nothing is reported.
	Progress func(done, total int64)
}

// Load makes a model of the checkpoint at path: a folder of safetensors files with a
// config.json, as transformers writes it, or one safetensors file, or one GGUF file as
// llama.cpp writes it. Dtypes are those of the files as far as Options leave the choice:
// see checkpoint.Reader.Load for how tensors become parameters, FP8 with scales included.
//
// Of GGUF the architectures llama, qwen2, qwen3, qwen3moe and deepseek2 are read, with
// tensors of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K. Q8_0, Q4_0 and Q4_1 are
// kept as they are by parameters that are packed in backend.Q8, Q4 and Q4_1, but for
// the two parts of a kv_b_proj that GGUF splits. Otherwise quantised tensors are
// dequantised to F32, and packed anew where Options have a format.
//
// Before anything is allocated, the names, shapes and dtypes of the tensors are
// compared with the config's, and the memory needed with what b has left. Beside that
// memory, loading takes a few megabytes. Errors name the file and the tensor.
//
// An lm_head.weight beside tied embeddings must equal them. Copies of the embedding
// and the head in the layers of MTP modules, which share the model's, are not unclaimed
// if they equal them.
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

// LoadConfig reads the config of the checkpoint at path, which is one of Load's: that of
// config.json in the folder or beside the file, or what the metadata of a GGUF file
// amount to.
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

// folderOf is the folder of a file, or the folder itself.
func folderOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return filepath.Dir(path), nil
	}
	return path, err
}

// openCheckpoint opens the files at path and tells the model's config.
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

// headName is the output head's, which tied models do not have.
const headName = "lm_head.weight"

// loading is the work of Load.
type loading struct {
	r   *checkpoint.Reader
	cfg Config
	o   LoadOptions
}

// files are the options of reading.
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

// check compares the config with the files, and the memory that it takes with what is
// left.
func (l *loading) check(b backend.Backend) error {
	if err := l.cfg.Validate(); err != nil {
		return err
	}
	// A dry run has a record for each parameter and the tables of RoPE: they are as many
	// as the files' tensors, and no more than there is memory.
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

// withoutCopies drops tensors that are copies of the model's embedding and head from
// those unclaimed.
func (l *loading) withoutCopies(unclaimed []string, m *Model) ([]string, error) {
	embed, head := m.Embed.Name, headName
	copies := map[string]string{} // name of a copy to that of what it repeats
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
