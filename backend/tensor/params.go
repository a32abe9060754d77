package tensor

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
)

// Params creates and holds the parameters of a model, in order of creation. Blocks create
// theirs with it, so that a model's parameters form one list under one naming scheme. Err
// returns the first error.
type Params struct {
	b     backend.Backend
	init  Init
	all   []*Param
	index map[string]*Param
	owned []backend.Buffer // memory of counters
	err   error
}

// Init says how new parameters are made.
type Init struct {
	// Seed is the key of the random values: those of a parameter depend only on Seed and
	// on the parameter's name.
	Seed uint64
	// Std is the standard deviation of matrices, which are normally distributed. If 0, it
	// is 0.006, as in DeepSeek-V3.
	Std float64
	// DType is F32 (the zero value) or F64.
	DType backend.DType
	// Format is the format of matrices and stacks, and Tables that of tables. The zero
	// value, backend.Native, uses DType.
	Format, Tables backend.Format
	// Packed keeps only the packed form of matrices, stacks, and tables whose format is
	// not backend.Native; see Param.Pack. If the backend has no packed layout for
	// backend.Native, matrices in that format stay as they are.
	Packed bool
	// Uninitialized makes parameters without values, to be set from a checkpoint. Using
	// one before that panics, except on a backend.Dry, where nothing has values.
	Uninitialized bool
}

// NewParams returns an empty set of parameters on b. It panics if init has an impossible
// value.
func NewParams(b backend.Backend, init Init) *Params {
	if !(init.Std >= 0) || math.IsInf(init.Std, 0) {
		panic(fmt.Sprintf("tensor: NewParams: Init.Std is %v, want 0 or more and finite", init.Std))
	}
	if init.DType != backend.F32 && init.DType != backend.F64 {
		panic(fmt.Sprintf("tensor: NewParams: Init.DType is %s, want F32 or F64", init.DType))
	}
	for _, f := range []backend.Format{init.Format, init.Tables} {
		if err := f.Validate(); err != nil {
			panic(fmt.Sprintf("tensor: NewParams: %v", err))
		}
	}
	if init.Std == 0 {
		init.Std = 0.006
	}
	return &Params{b: b, init: init, index: map[string]*Param{}}
}

// Backend returns the device of the parameters.
func (ps *Params) Backend() backend.Backend { return ps.b }

// DType returns the dtype of the master values.
func (ps *Params) DType() backend.DType { return ps.init.DType }

// All lists the parameters in order of creation.
func (ps *Params) All() []*Param { return ps.all }

// Get returns the parameter of that name, or nil if there is none.
func (ps *Params) Get(name string) *Param { return ps.index[name] }

// Len returns the total number of elements of all parameters.
func (ps *Params) Len() int {
	n := 0
	for _, p := range ps.all {
		n += p.Len()
	}
	return n
}

// Err returns the first error in creating a parameter.
func (ps *Params) Err() error { return ps.err }

// Matrix creates a normally distributed matrix [out, in] for products.
func (ps *Params) Matrix(name string, out, in int) *Param {
	return ps.normal(name, KindMatrix, ps.init.Format, ps.init.Packed, out, in)
}

// Table creates a normally distributed matrix [rows, cols] for the vocabulary: an
// embedding, from which rows are looked up, or an output head.
func (ps *Params) Table(name string, rows, cols int) *Param {
	f := ps.init.Tables
	return ps.normal(name, KindEmbedding, f, ps.init.Packed && f != backend.Native, rows, cols)
}

// FullPrecision creates a matrix like Matrix, but in the master dtype whatever
// Init.Format is, for example because only parts of it are used in a product.
func (ps *Params) FullPrecision(name string, out, in int) *Param {
	return ps.normal(name, KindMatrix, backend.Native, false, out, in)
}

// Router creates the normally distributed matrix [e, in] of a gate. It has the master
// dtype whatever Init.Format is, because it is small and its decisions are sensitive to
// rounding.
func (ps *Params) Router(name string, e, in int) *Param {
	return ps.normal(name, KindRouter, backend.Native, false, e, in)
}

// Adapter creates a matrix [out, in] of zeros in the master dtype, for a LowRank. It has
// values even if Init.Uninitialized is set.
func (ps *Params) Adapter(name string, out, in int) *Param {
	return ps.zeros(name, KindAdapter, out, in)
}

// Score creates a matrix [n, in] of zeros in the master dtype: an additional head of n
// outputs. It has values even if Init.Uninitialized is set.
func (ps *Params) Score(name string, n, in int) *Param { return ps.zeros(name, KindScore, n, in) }

func (ps *Params) zeros(name string, k Kind, out, in int) *Param {
	p := ps.add(name, k, []int{out, in}, backend.Native, false)
	if ps.err == nil {
		ps.fail(p, ps.b.Do(&backend.Fill{Dst: p.value}))
		p.set = p.rows()
	}
	return p
}

// Stack creates a stack of e matrices [e, out, in]; name has a * in the place of the
// matrix's number.
func (ps *Params) Stack(name string, e, out, in int) *Param {
	return ps.normal(name, KindExperts, ps.init.Format, ps.init.Packed, e, out, in)
}

// Gain creates a vector of ones without weight decay: the weight of a norm.
func (ps *Params) Gain(name string, n int) *Param { return ps.vector(name, KindGain, n, 1) }

// Bias creates a vector of zeros without weight decay.
func (ps *Params) Bias(name string, n int) *Param { return ps.vector(name, KindBias, n, 0) }

func (ps *Params) normal(name string, k Kind, f backend.Format, packed bool, shape ...int) *Param {
	packed = packed && (f != backend.Native || ps.packsNative(shape))
	p := ps.add(name, k, shape, f, packed)
	if ps.err == nil && !ps.init.Uninitialized {
		ps.fail(p, ps.draw(p))
		if packed && ps.err == nil {
			ps.err = p.Pack()
		}
	}
	return p
}

// packsNative reports whether the backend has a packed layout for backend.Native.
func (ps *Params) packsNative(shape []int) bool {
	packer, ok := ps.b.(backend.Packer)
	if !ok || len(shape) < 2 {
		return false
	}
	_, size := packer.PackedLen(backend.Native, ps.init.DType, shape[len(shape)-1], shape[len(shape)-2])
	return size > 0
}

// draw sets p to normally distributed random values.
func (ps *Params) draw(p *Param) error {
	h := fnv.New64a()
	h.Write([]byte(p.Name))
	err := ps.b.Do(&backend.Random{Dst: p.value, Seed: ps.init.Seed, Stream: h.Sum64(), Distribution: backend.Normal})
	return cmp.Or(err, ps.b.Do(&backend.Unary{Y: p.value, X: p.value, Fn: backend.Affine, A: ps.init.Std}))
}

func (ps *Params) vector(name string, k Kind, n int, value float64) *Param {
	p := ps.add(name, k, []int{n}, backend.Native, false)
	if ps.err == nil && !ps.init.Uninitialized {
		ps.fail(p, ps.b.Do(&backend.Fill{Dst: p.value, Value: value}))
	}
	return p
}

func (ps *Params) fail(p *Param, err error) {
	if err != nil && ps.err == nil {
		ps.err = fmt.Errorf("tensor: parameter %s: %w", p.Name, err)
	}
}

// add creates a parameter. After a failure the parameter is a placeholder without memory.
// If it is uninitialized and to be packed, only its packed form is allocated.
func (ps *Params) add(name string, k Kind, shape []int, f backend.Format, packed bool) *Param {
	mustHaveShape(name, shape)
	if ps.index[name] != nil {
		panic("tensor: two parameters named " + name)
	}
	p := &Param{
		Name: name, Kind: k, Trainable: true, Decay: len(shape) > 1, Format: f,
		b: ps.b, value: backend.NewView(nil, ps.init.DType, shape...),
	}
	if _, dry := backend.As[*backend.Dry](ps.b); dry || !ps.init.Uninitialized { // a dry run has no values
		p.set = p.rows()
	}
	ps.all = append(ps.all, p)
	ps.index[name] = p
	if ps.err != nil {
		return p
	}
	if ps.init.Uninitialized && packed {
		m, err := p.newPacked()
		if ps.err = err; err == nil {
			p.becomePacked(m)
		}
		return p
	}
	v, err := p.allocRaw(backend.Parameters, ps.init.DType, shape...)
	if ps.err = err; err == nil {
		p.value = v
	}
	return p
}

// ZeroGrad clears all gradients.
func (ps *Params) ZeroGrad() error {
	var errs []error
	for _, p := range ps.all {
		errs = append(errs, p.ZeroGrad())
	}
	return errors.Join(errs...)
}

// CopyFrom overwrites the values of ps with those of src, by name, on the same device.
// src may have more parameters, such as those of MTP modules. Parameters of ps may be
// packed; those of src may not, since they then have no master values.
func (ps *Params) CopyFrom(src *Params) error {
	for _, p := range ps.all {
		q := src.index[p.Name]
		if q == nil {
			return fmt.Errorf("tensor: copy: the source has no parameter %s", p.Name)
		}
		if q.Packed() {
			return fmt.Errorf("tensor: copy %s: the source is packed as %s: it has no master value", p.Name,
				q.packed.matrix.Format)
		}
		if !slices.Equal(p.Shape(), q.Shape()) {
			panic(fmt.Sprintf("tensor: copy %s: %v from %v", p.Name, p.Shape(), q.Shape()))
		}
		if err := p.setTo(q.Value()); err != nil {
			return err
		}
	}
	return nil
}

// Free frees the memory of all parameters and counters.
func (ps *Params) Free() {
	for _, buf := range ps.owned {
		ps.b.Free(buf)
	}
	ps.owned = nil
	for _, p := range ps.all {
		if p.value.Present() || p.Packed() {
			p.Free()
		}
	}
}
