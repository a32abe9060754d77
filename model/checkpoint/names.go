package checkpoint

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
)

// Names in memory are those of Hugging Face. Those in files differ in what this file
// says, and in nothing else:
//
//   - A stack of experts is one parameter, with a * for the number of the expert, and
//     a tensor for each expert:
//     model.layers.3.mlp.experts.*.up_proj.weight   [256, 2048, 7168] in memory
//     model.layers.3.mlp.experts.17.up_proj.weight  [2048, 7168] in a file
//   - Or the experts are stacked in the file too, as transformers has them in memory:
//     model.layers.3.mlp.experts.gate_up_proj  [256, 4096, 7168], each gate above its up
//     model.layers.3.mlp.experts.down_proj     [256, 7168, 2048]
//   - A file without any name that begins with "model." has the names without it.
//   - The embedding of a model whose head is tied to it may be called as the head.

const (
	prefix    = "model."
	embedName = "model.embed_tokens.weight"
	headName  = "lm_head.weight"
)

// part is the piece of a parameter that one tensor of a file holds.
type part struct {
	name  string
	p     *tensor.Param
	first int // row of p, as tensor.RowWriter counts them
	shape []int
}

// rows is the number of rows.
func (p *part) rows() int { return p.len() / p.width() }

// width is the length of a row.
func (p *part) width() int {
	if len(p.shape) == 0 {
		return 1
	}
	return p.shape[len(p.shape)-1]
}

// len is the number of elements.
func (p *part) len() int {
	n := 1
	for _, d := range p.shape {
		n *= d
	}
	return n
}

// parts lists the tensors that a file has for p, one for each expert of a stack.
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

// Find is the tensor of the parameter of that name, not a stack's.
func (r *Reader) Find(param string) (TensorInfo, bool) { return r.Lookup(r.spelling(param)) }

// spelling is a parameter's name in the files.
func (r *Reader) spelling(param string) string {
	if r.bare {
		return strings.TrimPrefix(param, prefix)
	}
	return param
}

// ParamName is the name of a tensor of the files as parameters have it: with "model."
// where the files leave it out.
func (r *Reader) ParamName(file string) string {
	if r.bare && file != headName {
		return prefix + file
	}
	return file
}

// KindOf is the kind of a file's tensor by its name and rank, as the names of Hugging Face
// have it; KindOther of one with a name of its own, whose parameter alone knows.
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

// isBare reports whether names lack the prefix.
func isBare(tensors []TensorInfo) bool {
	for _, t := range tensors {
		if strings.HasPrefix(t.Name, prefix) {
			return false
		}
	}
	return len(tensors) > 0
}

// isDerived reports whether a tensor of the name is computed from the config: old
// files have the frequencies of RoPE.
func isDerived(name string) bool { return strings.HasSuffix(name, ".rotary_emb.inv_freq") }

// stacked says which tensor beside the experts has the matrices of a stack in a file
// that stacks them too, how many matrices of that size it has for each expert, and
// which of them is the parameter's.
var stacked = map[string]struct {
	name   string
	of, at int
}{
	".gate_proj.weight": {"gate_up_proj", 2, 0},
	".up_proj.weight":   {"gate_up_proj", 2, 1},
	".down_proj.weight": {"down_proj", 1, 0},
}

// Equal reports whether the tensors of two parameters have the same dtype, shape and
// bits. A parameter that the files lack is an error.
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
