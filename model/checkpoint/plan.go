package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// maxFaults is the number of faults that an error of Load lists.
const maxFaults = 8

// source is the location of a part's values in a file.
type source struct {
	part
	info     TensorInfo
	row      int        // row of the tensor, counted over all dimensions but the last
	scale    TensorInfo // name is empty if there are no scales
	scaleRow int
	block    [2]int // rows and columns that share a scale
	keep     bool   // the parameter has the same format: copy elements and scales unchanged
	codes    *Codes // set if the parameter can take the codes unchanged, else nil
}

func (s *source) scaled() bool { return s.scale.Name != "" }

// bytes returns the size of n rows in the file.
func (s *source) bytes(n int) int {
	if s.codes != nil {
		return n * s.width() * s.codes.Format.Element.Size()
	}
	return n * s.width() * s.info.DType.Size()
}

// step returns the number of rows to read at a time.
func (s *source) step() int {
	n := max(1, chunkElements/s.width())
	if s.p.Packed() { // packing works on multiples of PackColumns rows
		n = max(backend.PackColumns, n/backend.PackColumns*backend.PackColumns)
	}
	return n
}

// planner finds the sources of parameters.
type planner struct {
	*Reader
	LoadOptions
	tied   bool // whether the files have no head besides the embedding
	list   []source
	faults int
	errs   []error // the first faults
}

// plan finds the sources of all parameters.
func (r *Reader) plan(params []*tensor.Param, o LoadOptions) ([]source, error) {
	p := planner{Reader: r, LoadOptions: o, tied: true}
	seen := map[string]bool{}
	for _, q := range params {
		if seen[q.Name] {
			return nil, fmt.Errorf("checkpoint: load %s: two parameters named %s", r.path, q.Name)
		}
		seen[q.Name] = true
		p.tied = p.tied && q.Name != headName
	}
	for _, q := range params {
		p.param(q)
	}
	if p.faults == 0 {
		return p.list, nil
	}
	if more := p.faults - len(p.errs); more > 0 {
		p.errs = append(p.errs, fmt.Errorf("checkpoint: %s: and %d tensors more", r.path, more))
	}
	return nil, errors.Join(p.errs...)
}

// fail records a fault of n tensors, the first of which is name.
func (p *planner) fail(n int, file, name string, err error) {
	if p.faults += n; len(p.errs) < maxFaults {
		p.errs = append(p.errs, &FormatError{File: file, Tensor: name, Err: err})
	}
}

// param finds the sources of a parameter.
func (p *planner) param(q *tensor.Param) {
	before, after, isStack := strings.Cut(q.Name, "*")
	shape := q.Shape()
	if isStack {
		where, known := stacked[after]
		if t, ok := p.Find(before + where.name); known && ok {
			p.stack(q, t, where.of, where.at)
			return
		}
		if shape[0] > len(p.tensors) { // check this before making their names
			p.fail(shape[0], p.path, before+"0"+after, fmt.Errorf("%w: the parameter has %d, the files %d tensors in all",
				ErrMissing, shape[0], len(p.tensors)))
			return
		}
	}
	for _, one := range parts(q) {
		t, ok := p.Find(one.name)
		if !ok && p.tied && one.name == embedName {
			t, ok = p.Lookup(headName)
		}
		if !ok {
			p.fail(1, p.path, one.name, ErrMissing)
		} else if src, err := p.source(one, t, 1); err != nil {
			p.fail(1, t.File, t.Name, err)
		} else {
			p.list = append(p.list, src)
		}
	}
}

// stack finds the matrices of the stack q in t, where each is matrix at of the of matrices
// per expert.
func (p *planner) stack(q *tensor.Param, t TensorInfo, of, at int) {
	shape := q.Shape()
	whole := part{name: q.Name, p: q, shape: []int{shape[0], of * shape[1], shape[2]}}
	src, err := p.source(whole, t, of)
	if err != nil {
		p.fail(1, t.File, t.Name, fmt.Errorf("for %s: %w", q.Name, err))
		return
	}
	for i, one := range parts(q) {
		src.part = one
		src.row = (i*of + at) * shape[1]
		src.scaleRow = (i*of + at) * ceil(shape[1], src.block[0])
		p.list = append(p.list, src)
	}
}

// source returns all of t as the source of one. Each matrix of t consists of the given
// number of parts.
func (p *planner) source(one part, t TensorInfo, of int) (source, error) {
	src := source{part: one, info: t, block: p.block()}
	if !slices.Equal(t.Shape, one.shape) {
		return src, fmt.Errorf("%w %v: the parameter has %v", ErrShape, t.Shape, one.shape)
	}
	if dt, ok := deviceDTypes[t.DType]; !ok || !dt.IsFloat() {
		return src, fmt.Errorf("%w: %s cannot become %s", ErrDType, t.DType, one.p.DType())
	}
	scale, ok, err := p.scaleOf(t, of)
	if err != nil {
		return src, err
	}
	if c := p.codes[t.Name]; c != nil && one.p.Packed() && one.p.Format == c.Format {
		src.codes = c
	}
	if ok {
		f := one.p.Format
		own := backend.Format{Element: deviceDTypes[t.DType], Scale: backend.F32, BlockN: f.BlockN, BlockK: f.BlockK,
			Left: f.Left, LeftBlock: f.LeftBlock, ForwardOnly: f.ForwardOnly}
		src.scale = scale
		src.keep = one.p.Packed() && f == own && src.block == [2]int{int(f.BlockN), int(f.BlockK)}
	}
	return src, nil
}
