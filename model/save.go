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

// SaveOptions say how a model is saved. The zero value writes all it holds in F32.
type SaveOptions struct {
	// DType is that of the weights: checkpoint.F32, BF16, or F8E4M3, which is FP8 with
	// scales of blocks for the matrices that DeepSeek-V3 quantises and BF16 for the
	// rest; "" means F32, in which no update is lost. Selection biases of gates are F32
	// in all of them.
	DType checkpoint.DType
	// ShardBytes is the largest size of the tensors of a file; 0 means 5 GB.
	ShardBytes int64
	// Source is where the model came from: its Unclaimed tensors and the files of its
	// tokenizer and of generation are kept. Nil means none.
	Source *Source
	// Drop reports which tensors of Source are not kept; nil means that all are.
	Drop func(name string) bool
	// Files are more files by name, such as tokenizer.json; they replace those of Source.
	Files map[string]func(w io.Writer) error
	// Progress, if not nil, is told how many bytes of the tensors' total are written.
	Progress func(done, total int64)
}

// Save writes a folder that Load and transformers read: config.json, whose
// torch_dtype says what the tensors hold, the weights, and what Source has. It appears
// as a whole, and only then is a model folder that was there replaced, see
// [checkpoint.WriteFolder]; it may be Source's own. Beside the model a few megabytes
// are needed.
//
// Weights in a packed format are saved as the values that products use: FP8 to FP8 is
// exact, all are in F32. In BF16 those of FP8 and Q8 are rounded once more.
//
// Blocks of one's own keep their names, which Load reads with the same Options.Block and
// transformers does not know. What FP8 quantises goes by the parameter's Kind, see
// StoredDType.
//
// A model with adapters is refused until they are merged. A tied head is left out.
// Modules of multi-token prediction have copies of embedding and head as they are now;
// num_nextn_predict_layers counts those that are written. Tensors of Source are kept as
// they are, but that FP8 becomes BF16 or F32 where DType is that, and matrices that
// DeepSeek-V3 quantises become FP8 where DType is.
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
		if s.Metadata == nil { // files beside a GGUF file need not be its own
			if files, err = checkpoint.CompanionFiles(s.Dir, s.followLinks); err != nil {
				return fmt.Errorf("model: save %s: %w", dir, err)
			}
		}
		if len(s.Unclaimed) > 0 {
			r, err := s.open()
			if err != nil {
				return fmt.Errorf("model: save %s: tensors to keep: %w", dir, err)
			}
			defer r.Close()
			if err := list.keep(r, o); err != nil {
				return fmt.Errorf("model: save %s: tensors to keep: %w", dir, err)
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

// savedDTypes are the dtypes that Save has, as Config.StoredAs calls them.
var savedDTypes = map[checkpoint.DType]backend.DType{
	checkpoint.F32: backend.F32, checkpoint.BF16: backend.BF16, checkpoint.F8E4M3: backend.E4M3,
}

// WriteConfig writes a config.json.
func WriteConfig(w io.Writer, c Config) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

// StoredDType is the dtype of a tensor in a checkpoint whose weights are dt: F8E4M3
// is that of matrices and experts alone, beside which the rest is BF16, as DeepSeek-V3 was
// released; selection biases of gates are F32. A stack of experts in one tensor of rank 3
// is BF16 too.
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

// saving collects the tensors of a model to be saved.
type saving struct {
	m       *Model
	dtype   checkpoint.DType
	tensors []checkpoint.Tensor
	has     map[string]bool // names of tensors
}

// newSaving has the parameters of m, without adapters.
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

// The copies of embedding and head that modules of multi-token prediction have in files.
const (
	sharedEmbed = "embed_tokens.weight"
	sharedHead  = "shared_head.head.weight"
)

// module is the prefix of the names of the k-th module of multi-token prediction.
func (s *saving) module(k int) string {
	return fmt.Sprintf("model.layers.%d.", s.m.Config.NumHiddenLayers+k)
}

// addShared adds the copies of embedding and head to each module of multi-token
// prediction, and returns how many modules there are.
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

// keep adds tensors of Source that the model does not have.
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
