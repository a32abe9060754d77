package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/checkpoint"
)

// SaveOptions describes how a model is saved. The zero value writes everything in F32.
type SaveOptions struct {
	// DType is the dtype of the weights: checkpoint.F32, BF16, or F8E4M3, which stores the
	// matrices that DeepSeek-V3 quantises as FP8 with a scale per block, and the rest as
	// BF16. "" means F32, which loses no update. Selection biases of gates are always F32.
	DType checkpoint.DType
	// ShardBytes is the maximum size of the tensors in a file; 0 means 5 GB.
	ShardBytes int64
	// Source is where the model was loaded from. Its Unclaimed tensors, its tokenizer files
	// and its generation config are preserved. If nil, nothing is.
	Source *Source
	// Drop reports which tensors of Source are not preserved; if nil, all are.
	Drop func(name string) bool
	// Files are further files by name, such as tokenizer.json; they replace those of
	// Source.
	Files map[string]func(w io.Writer) error
	// Progress, unless nil, is called with the number of bytes of tensors written so far
	// and the total.
	Progress func(done, total int64)
}

// Save writes a folder that Load and transformers can read: config.json, whose torch_dtype
// is the dtype of the tensors, the weights, and the contents of Source. The folder appears
// as a whole and only then replaces a model folder at dir, which may be that of Source; see
// [checkpoint.WriteFolder]. Saving takes a few megabytes of memory in addition to the
// model.
//
// Weights in a packed format are saved with the values that matrix products use. FP8 to FP8
// is exact, and F32 represents all of them; in BF16, weights of FP8 and Q8 are rounded once
// more.
//
// Blocks made by Options.Block keep their names: Load can read them with the same
// Options.Block, transformers cannot. Which tensors become FP8 depends on the parameter's
// Kind, see StoredDType.
//
// A model with adapters is an error; merge them first. A tied head is not written. MTP
// modules get copies of the current embedding and head, and num_nextn_predict_layers is the
// number of modules written. Tensors of Source are written unchanged, except that FP8 is
// converted to BF16 or F32 if that is DType, and matrices that DeepSeek-V3 quantises are
// converted to FP8 if that is DType.
func Save(dir string, m *Model, o SaveOptions) error {
	dt := cmp.Or(o.DType, checkpoint.F32)
	stored, ok := savedDTypes[dt]
	if !ok {
		return fmt.Errorf("model: save %s: SaveOptions.DType is %s, want F32, BF16 or F8_E4M3", dir, dt)
	}
	for _, l := range m.Linears() {
		if l.Adapter != nil {
			return fmt.Errorf("model: save %s: %s has an adapter: merge it first, or save it by itself, see package lora", dir,
				l.W.Name)
		}
	}
	list := newSaving(m, dt)
	files := map[string]func(io.Writer) error{}
	if s := o.Source; s != nil {
		var err error
		if s.Metadata == nil { // files next to a GGUF file may belong to another model
			if files, err = checkpoint.CompanionFiles(s.Dir, s.followLinks); err != nil {
				return fmt.Errorf("model: save %s: %w", dir, err)
			}
		}
		if len(s.Unclaimed) > 0 {
			r, err := s.open()
			if err != nil {
				return fmt.Errorf("model: save %s: tensors of the source: %w", dir, err)
			}
			defer r.Close()
			if err := list.keep(r, o); err != nil {
				return fmt.Errorf("model: save %s: tensors of the source: %w", dir, err)
			}
		}
	}
	maps.Copy(files, o.Files)
	cfg := m.Config.StoredAs(stored)
	cfg.NumNextNPredictLayers = list.addShared()
	files["config.json"] = func(w io.Writer) error { return WriteConfig(w, cfg) }
	err := checkpoint.WriteFolder(dir, checkpoint.Folder{
		Tensors: list.tensors, ShardBytes: o.ShardBytes, Files: files, Progress: o.Progress,
	})
	if err != nil {
		return fmt.Errorf("model: save: %w", err)
	}
	return nil
}

// savedDTypes are the dtypes that Save supports, with those that Config.StoredAs takes.
var savedDTypes = map[checkpoint.DType]backend.DType{
	checkpoint.F32: backend.F32, checkpoint.BF16: backend.BF16, checkpoint.F8E4M3: backend.E4M3,
}

// WriteConfig writes c as a config.json.
func WriteConfig(w io.Writer, c Config) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

// StoredDType returns the dtype of a tensor of kind k in a checkpoint whose weights are dt.
// In an F8E4M3 checkpoint, only matrices and experts are F8E4M3; the rest, and a stack of
// experts in one tensor of rank 3, is BF16, as in the release of DeepSeek-V3. Selection
// biases of gates are always F32.
func StoredDType(dt checkpoint.DType, k tensor.Kind, rank int) checkpoint.DType {
	switch {
	case k == tensor.KindSelection:
		return checkpoint.F32
	case dt != checkpoint.F8E4M3:
		return dt
	case (k == tensor.KindMatrix || k == tensor.KindExperts) && rank == 2:
		return checkpoint.F8E4M3
	}
	return checkpoint.BF16
}

// saving collects the tensors to save.
type saving struct {
	m       *Model
	dtype   checkpoint.DType
	tensors []checkpoint.Tensor
	has     map[string]bool // names of the tensors
}

// newSaving adds the parameters of m, without adapters.
func newSaving(m *Model, dt checkpoint.DType) *saving {
	s := &saving{m: m, dtype: dt, has: map[string]bool{}}
	own := slices.DeleteFunc(slices.Clone(m.Params.All()), func(p *tensor.Param) bool {
		return p.Kind == tensor.KindAdapter
	})
	for _, r := range checkpoint.ParamRows(own) {
		s.add(r)
	}
	return s
}

func (s *saving) add(r checkpoint.Rows) {
	for _, t := range r.As(StoredDType(s.dtype, r.Kind, len(r.Shape))) {
		s.has[t.Name] = true
		s.tensors = append(s.tensors, t)
	}
}

// Names, within an MTP module, of the copies of embedding and head that files contain.
const (
	sharedEmbed = "embed_tokens.weight"
	sharedHead  = "shared_head.head.weight"
)

// module returns the prefix of the names in the k-th MTP module.
func (s *saving) module(k int) string {
	return fmt.Sprintf("model.layers.%d.", s.m.Config.NumHiddenLayers+k)
}

// addShared adds the copies of embedding and head for each MTP module and returns the
// number of modules.
func (s *saving) addShared() int {
	for k := range s.m.Config.NumNextNPredictLayers {
		prefix := s.module(k)
		if !s.has[prefix+"enorm.weight"] {
			return k
		}
		both := checkpoint.ParamRows([]*tensor.Param{s.m.Embed, s.m.Head})
		for i, name := range []string{sharedEmbed, sharedHead} {
			both[i].Name = prefix + name
			s.add(both[i])
		}
	}
	return s.m.Config.NumNextNPredictLayers
}

// keep adds the tensors of Source that the model does not have.
func (s *saving) keep(r *checkpoint.Reader, o SaveOptions) error {
	stale := map[string]bool{}
	if s.m.Config.TieWordEmbeddings {
		stale["lm_head.weight"] = true
	}
	for k := range s.m.Config.NumNextNPredictLayers {
		stale[s.module(k)+sharedEmbed], stale[s.module(k)+sharedHead] = true, true
	}
	for _, name := range o.Source.Unclaimed {
		as := r.ParamName(name)
		if stale[as] || s.has[as] || o.Drop != nil && o.Drop(name) || r.IsScale(name) {
			continue
		}
		t, ok := r.Lookup(name)
		if !ok {
			return fmt.Errorf("%q: %w", name, checkpoint.ErrMissing)
		}
		to := StoredDType(s.dtype, checkpoint.KindOf(as, len(t.Shape)), len(t.Shape))
		if t.DType == checkpoint.F8E4M3 || t.DType == checkpoint.F8E5M2 || t.DType.IsFloat() && to == checkpoint.F8E4M3 {
			rows, err := r.Rows(name, o.Source.Config.Quantization.Block())
			if err != nil {
				return err
			}
			rows.Name = as
			s.add(rows)
			continue
		}
		kept, err := r.Verbatim([]string{name})
		if err != nil {
			return err
		}
		kept[0].Name = as
		s.has[as] = true
		s.tensors = append(s.tensors, kept...)
	}
	return nil
}
