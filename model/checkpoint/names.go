package checkpoint

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
)

// Parameters have the names of Hugging Face. Names in files differ from these only in the
// following ways:
//
//   - A stack of experts is one parameter, with * for the number of the expert, and one
//     tensor per expert in files:
//     model.layers.3.mlp.experts.*.up_proj.weight   [256, 2048, 7168] in memory
//     model.layers.3.mlp.experts.17.up_proj.weight  [2048, 7168] in a file
//   - Or the file stacks the experts too, in the form that transformers has in memory:
//     model.layers.3.mlp.experts.gate_up_proj  [256, 4096, 7168], with gate above up
//     model.layers.3.mlp.experts.down_proj     [256, 7168, 2048]
//   - In a file without any name that begins with "model.", all names lack this prefix.
//   - The embedding of a model with a tied head may have the name of the head.

const (
	prefix    = "model."
	embedName = "model.embed_tokens.weight"
	headName  = "lm_head.weight"
)

// part is the part of a parameter that is one tensor in a file.
type part struct {
	name  string
	p     *tensor.Param
	first int // first row of p, as tensor.RowWriter counts rows
	shape []int
}

// rows returns the number of rows.
func (p *part) rows() int { return p.len() / p.width() }

// width returns the length of a row.
func (p *part) width() int {
	if len(p.shape) == 0 {
		return 1
	}
	return p.shape[len(p.shape)-1]
}

// len returns the number of elements.
func (p *part) len() int {
	n := 1
	for _, d := range p.shape {
		n *= d
	}
	return n
}

// parts returns the tensors that a file has for p: one per expert for a stack.
func parts(p *tensor.Param) []part {
	before, after, ok := strings.Cut(p.Name, "*")
	shape := p.Shape()
	if !ok {
		return []part{{name: p.Name, p: p, shape: shape}}
	}
	list := make([]part, shape[0])
	for e := range list {
		list[e] = part{before + strconv.Itoa(e) + after, p, e * shape[1], shape[1:]}
	}
	return list
}

// Find returns the tensor of the named parameter, which must not be a stack.
func (r *Reader) Find(param string) (TensorInfo, bool) { return r.Lookup(r.spelling(param)) }

// spelling returns the name of a parameter in the files.
func (r *Reader) spelling(param string) string {
	if r.bare {
		return strings.TrimPrefix(param, prefix)
	}
	return param
}

// ParamName returns the parameter name of a tensor in the files: it adds "model." if the
// files lack this prefix.
func (r *Reader) ParamName(file string) string {
	if r.bare && file != headName {
		return prefix + file
	}
	return file
}

// KindOf returns the kind of a tensor by its Hugging Face name and rank. It is KindOther
// for other names, whose kind only their parameter has.
func KindOf(name string, rank int) tensor.Kind {
	layer := strings.Contains(name, "layers.")
	ends := func(suffixes ...string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
	}
	switch {
	case ends(".e_score_correction_bias"):
		return tensor.KindSelection
	case ends(".bias"):
		return tensor.KindBias
	case ends("norm.weight"):
		return tensor.KindGain
	case ends("embed_tokens.weight", headName, ".shared_head.head.weight"):
		return tensor.KindEmbedding
	case layer && strings.Contains(name, ".experts.") && rank >= 2:
		return tensor.KindExperts
	case layer && rank == 2 && ends(".gate.weight"):
		return tensor.KindRouter
	case layer && rank == 2 && ends(".eh_proj.weight"):
		return tensor.KindJoin
	case layer && rank == 2 && ends("_proj.weight", ".kv_a_proj_with_mqa.weight"):
		return tensor.KindMatrix
	}
	return tensor.KindOther
}

// isBare reports whether the names lack the prefix "model.".
func isBare(tensors []TensorInfo) bool {
	for _, t := range tensors {
		if strings.HasPrefix(t.Name, prefix) {
			return false
		}
	}
	return len(tensors) > 0
}

// isDerived reports whether a tensor is computed from the config, such as the RoPE
// frequencies that old files contain.
func isDerived(name string) bool { return strings.HasSuffix(name, ".rotary_emb.inv_freq") }

// stacked describes, for each stack of experts, the tensor that holds it in a file that
// stacks experts: its name, the number of matrices of the stack's size that it has per
// expert, and the index of the stack's matrix among them.
var stacked = map[string]struct {
	name   string
	of, at int
}{
	".gate_proj.weight": {"gate_up_proj", 2, 0},
	".up_proj.weight":   {"gate_up_proj", 2, 1},
	".down_proj.weight": {"down_proj", 1, 0},
}

// Equal reports whether the tensors of two parameters have the same dtype, shape and bits.
// A parameter without a tensor is an error.
func (r *Reader) Equal(a, b string) (bool, error) {
	ta, okA := r.Find(a)
	tb, okB := r.Find(b)
	switch {
	case !okA || !okB:
		if okA {
			a = b
		}
		return false, &FormatError{File: r.path, Tensor: a, Err: ErrMissing}
	case ta.DType != tb.DType || !slices.Equal(ta.Shape, tb.Shape):
		return false, nil
	}
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < ta.Bytes(); at += int64(len(x)) {
		n := min(int64(len(x)), ta.Bytes()-at)
		if err := errors.Join(r.readAt(&ta, x[:n], at), r.readAt(&tb, y[:n], at)); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
	}
	return true, nil
}
