package model

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// GGUFOptions describes how SaveGGUF writes a model.
type GGUFOptions struct {
	// Type is the type of matrices, gguf.F16 or gguf.Q8_0. Matrices whose rows do not
	// consist of whole blocks of Q8_0 are F16 in either case; vectors and routers are F32.
	Type gguf.Type
	// Metadata are additional keys: the name of the model, its tokenizer, see
	// tokenizer.Tokenizer.ToGGUF, and the Jinja text of its chat template, see chat.Jinja.
	// They must not include keys that the config determines, except those of special
	// tokens. Without tokenizer.ggml.model, the file says that it has no tokenizer, and
	// llama.cpp accepts only token ids.
	Metadata gguf.Metadata
	// Progress is called with the number of bytes of tensors written so far and the total.
	// If nil, nothing is reported.
	Progress func(done, total int64)
}

// SaveGGUF writes a GGUF file that llama.cpp can read. The file appears at path as a whole,
// and on error an existing file is left unchanged. tensors are those of a model of config
// c, from checkpoint.ParamRows of Model.Params or from checkpoint.Reader.Rows of a file;
// they are read and written piece by piece. MTP modules and a tied head are not written.
//
// A config that GGUF cannot express is an error, and so is a tensor that is missing or that
// llama.cpp does not have. If c has several eos_token_id, the first two are written; that
// of Metadata takes the first place.
func SaveGGUF(path string, c Config, tensors []checkpoint.Rows, o GGUFOptions) error {
	fail := func(err error) error { return fmt.Errorf("model: save %s: %w", path, err) }
	if o.Type != gguf.F16 && o.Type != gguf.Q8_0 {
		return fail(fmt.Errorf("GGUFOptions.Type is %s, want F16 or Q8_0", o.Type))
	}
	if err := c.Validate(); err != nil {
		return fail(err)
	}
	m, err := ggufKeys(c, o)
	if err != nil {
		return fail(err)
	}
	s := ggufSaving{GGUFOptions: o, cfg: c, places: map[string]int{}}
	for _, r := range tensors {
		if err := s.add(r); err != nil {
			return fail(fmt.Errorf("tensor %q: %w", r.Name, err))
		}
	}
	list, err := s.tensors()
	if err != nil {
		return fail(err)
	}
	if err := checkpoint.WriteAtomic(path, func(w io.Writer) error { return gguf.Write(w, m, list) }); err != nil {
		return fmt.Errorf("model: save: %w", err)
	}
	return nil
}

// ggufSaving collects the tensors of a file.
type ggufSaving struct {
	GGUFOptions
	cfg         Config
	list        []ggufTensor
	places      map[string]int // index in list by name
	elements    int64          // number of elements of all tensors
	done, total int64          // bytes written, and bytes in total
}

// ggufTensor is a tensor of a file: one tensor of the model, or one of every expert,
// stacked.
type ggufTensor struct {
	name    string
	of      []checkpoint.Rows
	experts bool
}

// add adds a tensor of the model.
func (s *ggufSaving) add(r checkpoint.Rows) error {
	if s.isMTP(r.Name) || r.Name == headName && s.cfg.TieWordEmbeddings {
		return nil
	}
	name, expert, ok := toGGUFName(r.Name)
	if !ok {
		return errors.New("llama.cpp has no tensor for it")
	}
	at, seen := s.places[name]
	if !seen {
		at = len(s.list)
		s.places[name] = at
		t := ggufTensor{name, make([]checkpoint.Rows, 1), expert >= 0}
		if t.experts {
			t.of = make([]checkpoint.Rows, s.cfg.NRoutedExperts)
		}
		s.list = append(s.list, t)
	}
	of := s.list[at].of
	if expert = max(0, expert); expert >= len(of) {
		return fmt.Errorf("the config has %d experts", len(of))
	}
	if of[expert].Read != nil {
		return checkpoint.ErrDuplicate
	}
	of[expert] = r
	n := int64(1)
	for _, dim := range r.Shape {
		n *= int64(dim)
	}
	s.elements += n
	return nil
}

// isMTP reports whether a tensor belongs to a layer after the last, that is to an MTP
// module.
func (s *ggufSaving) isMTP(name string) bool {
	layer, _, ok := cutLayer(name, "model.layers.")
	n, err := strconv.Atoi(layer)
	return ok && err == nil && n >= s.cfg.NumHiddenLayers
}

// tensors returns the tensors of the file, once all tensors of the model have been added.
func (s *ggufSaving) tensors() (list []gguf.Tensor, err error) {
	for _, t := range s.list {
		for e, r := range t.of {
			if r.Read == nil {
				return nil, fmt.Errorf("expert %d of tensor %q: %w", e, t.name, checkpoint.ErrMissing)
			}
			if !slices.Equal(r.Shape, t.of[0].Shape) || t.experts && len(r.Shape) != 2 {
				return nil, fmt.Errorf("tensor %q: %w %v, the first expert has %v", r.Name, checkpoint.ErrShape, r.Shape,
					t.of[0].Shape)
			}
		}
		x := gguf.Tensor{Name: t.name, Shape: t.of[0].Shape}
		if s.isPaired(t.name) && (len(x.Shape) != 2 || x.Shape[0]%s.cfg.QKHeadDim() != 0) {
			return nil, fmt.Errorf("tensor %q: %w %v: want heads of %d rows", t.of[0].Name, checkpoint.ErrShape, x.Shape,
				s.cfg.QKHeadDim())
		}
		if t.experts {
			x.Shape = append([]int{len(t.of)}, x.Shape...)
		}
		x.Type = s.typeOf(t.name, x.Shape)
		x.Stream = func(w io.Writer) error {
			for _, r := range t.of {
				if err := s.write(w, x, r); err != nil {
					return err
				}
			}
			return nil
		}
		n := 1
		for _, dim := range x.Shape {
			n *= dim
		}
		s.total += int64(x.Type.Bytes(n))
		list = append(list, x)
	}
	if want, _ := s.cfg.NumParams(); s.elements != want {
		return nil, fmt.Errorf("%w: the tensors have %d elements in total, the config %d", checkpoint.ErrMissing,
			s.elements, want)
	}
	if f := s.cfg.RoPEScaling; f != nil && f.Type == "llama3" {
		list = append(list, f.ropeFactors(s.cfg))
	}
	return list, nil
}

// typeOf returns the type of a tensor. llama.cpp requires F32 for vectors and routers.
func (s *ggufSaving) typeOf(name string, shape []int) gguf.Type {
	elements, _ := s.Type.Block()
	switch {
	case len(shape) == 1 || strings.HasSuffix(name, ".ffn_gate_inp.weight"):
		return gguf.F32
	case shape[len(shape)-1]%elements != 0:
		return gguf.F16
	}
	return s.Type
}

// isPaired reports whether GGUF orders the rows of a tensor differently, see
// ggufFile.unpaired.
func (s *ggufSaving) isPaired(name string) bool {
	return s.cfg.ModelType == TypeLlama &&
		(strings.HasSuffix(name, ".attn_q.weight") || strings.HasSuffix(name, ".attn_k.weight"))
}

// write writes r, which is x or one expert of it.
func (s *ggufSaving) write(w io.Writer, x gguf.Tensor, r checkpoint.Rows) error {
	step, width := 1, r.Shape[len(r.Shape)-1]
	if s.isPaired(x.Name) {
		step = s.cfg.QKHeadDim()
	}
	var paired []float32
	var data []byte
	return r.Each(step, func(first int, values []float32) error {
		if step > 1 {
			paired = slices.Grow(paired[:0], len(values))[:len(values)]
			for i := range len(values) / width {
				head, row := i/step*step, i%step
				to := head + row%(step/2)*2 + row/(step/2)
				copy(paired[to*width:], values[i*width:(i+1)*width])
			}
			values = paired
		}
		n := x.Type.Bytes(len(values))
		data = slices.Grow(data[:0], n)[:n]
		if err := x.Type.Quantize(data, values); err != nil {
			return fmt.Errorf("%s, rows from %d on: %w", r.Name, first, err)
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		if s.done += int64(n); s.Progress != nil {
			s.Progress(s.done, s.total)
		}
		return nil
	})
}
