package checkpoint

import (
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// part is the piece of a parameter that one tensor of a file holds.
type part struct {
	name string
	view backend.View
	p    *tensor.Param
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
	v := p.Value()
	if !stacked {
		return []part{{p.Name, v, p}}
	}
	list := make([]part, v.Dim(0))
	for e := range list {
		list[e] = part{before + strconv.Itoa(e) + after, v.Index(e), p}
	}
	return list
}
