package checkpoint

import (
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
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

// parts applies the one rule by which names in memory and in files differ.
//
// A stack of experts [E, out, in] is one parameter with a * for the number of
// the expert, but each expert is a tensor of its own in a file:
//
//	model.layers.3.mlp.experts.*.up_proj.weight   [256, 2048, 7168] in memory
//	model.layers.3.mlp.experts.17.up_proj.weight  [2048, 7168] in a file
func parts(p *tensor.Param) []part {
	before, after, stacked := strings.Cut(p.Name, "*")
	shape := p.Shape()
	if !stacked {
		return []part{{name: p.Name, p: p, shape: shape}}
	}
	list := make([]part, shape[0])
	for e := range list {
		list[e] = part{before + strconv.Itoa(e) + after, p, e * shape[1], shape[1:]}
	}
	return list
}
