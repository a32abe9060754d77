package tensor

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
)

// Params creates and holds the parameters of a model, in order of creation.
// Blocks take theirs from it, so that a model's parameters are one list under
// one naming scheme. The first error is kept; see Err.
type Params struct {
	b     backend.Backend
	init  Init
	all   []*Param
	index map[string]*Param
	owned []backend.Buffer
	err   error
}

// Init says how fresh parameters are made.
type Init struct {
	// Seed keys the random values: a parameter's depend on it and on the
	// parameter's name alone.
	Seed uint64
	// Std is the standard deviation of matrices, which are normal; 0 means
	// 0.006, as V3 uses for all of them.
	Std float64
	// DType is F32 (the zero value) or F64.
	DType backend.DType
	// Format is the arithmetic of products with matrices and stacks; the zero
	// value is that of DType. Tables stay in DType.
	Format backend.Format
	// Hold keeps matrices and stacks in their packed form only, see Param.Hold.
	Hold bool
}

// NewParams returns an empty set on b. Like the dimensions of its parameters,
// which are at least 1, an impossible init panics.
func NewParams(b backend.Backend, init Init) *Params {
	if !(init.Std >= 0) || math.IsInf(init.Std, 0) {
		panic(fmt.Sprintf("tensor: NewParams: Init.Std is %v, want 0 or more and finite", init.Std))
	}
	if init.DType != backend.F32 && init.DType != backend.F64 {
		panic(fmt.Sprintf("tensor: NewParams: Init.DType is %s, want F32 or F64", init.DType))
	}
	if init.Format > backend.Q4 {
		panic(fmt.Sprintf("tensor: NewParams: Init.Format is %d, want one of backend's formats", uint8(init.Format)))
	}
	if init.Std == 0 {
		init.Std = 0.006
	}
	return &Params{b: b, init: init, index: map[string]*Param{}}
}

// Backend is the device of the parameters.
func (ps *Params) Backend() backend.Backend { return ps.b }

// DType is the master dtype of the parameters.
func (ps *Params) DType() backend.DType { return ps.init.DType }

// All lists the parameters in order of creation.
func (ps *Params) All() []*Param { return ps.all }

// Get is the parameter of a name, nil if there is none.
func (ps *Params) Get(name string) *Param { return ps.index[name] }

// Len is the number of elements of all parameters together.
func (ps *Params) Len() int {
	n := 0
	for _, p := range ps.all {
		n += p.Len()
	}
	return n
}

// Err is the first error of creating a parameter.
func (ps *Params) Err() error { return ps.err }

// Matrix creates a normally distributed matrix [out, in] for products.
func (ps *Params) Matrix(name string, out, in int) *Param { return ps.formed(ps.normal(name, out, in)) }

// Table creates a normally distributed matrix [rows, cols] that keeps the master
// dtype whatever the format is: an embedding, which is looked up by rows, or a
// router, which is small and whose decisions are sensitive.
func (ps *Params) Table(name string, rows, cols int) *Param { return ps.normal(name, rows, cols) }

// Stack creates a stack of e matrices [e, out, in]; name has a * where the
// number of each goes.
func (ps *Params) Stack(name string, e, out, in int) *Param {
	return ps.formed(ps.normal(name, e, out, in))
}

// Gain creates a vector of ones, exempt from weight decay: a norm's weight.
func (ps *Params) Gain(name string, n int) *Param { return ps.vector(name, n, 1) }

// Bias creates a vector of zeros, exempt from weight decay.
func (ps *Params) Bias(name string, n int) *Param { return ps.vector(name, n, 0) }

// formed gives a fresh matrix the format of the set.
func (ps *Params) formed(p *Param) *Param {
	p.Format = ps.init.Format
	if ps.init.Hold && ps.err == nil {
		ps.err = p.Hold()
	}
	return p
}

func (ps *Params) normal(name string, shape ...int) *Param {
	p := ps.add(name, shape)
	if ps.err != nil {
		return p
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	ps.fail(p, ps.b.Do(&backend.Random{Dst: p.value, Seed: ps.init.Seed, Stream: h.Sum64(), Distribution: backend.Normal}))
	ps.fail(p, ps.b.Do(&backend.Unary{Y: p.value, X: p.value, Fn: backend.Affine, A: ps.init.Std}))
	return p
}

func (ps *Params) vector(name string, n int, value float64) *Param {
	p := ps.add(name, []int{n})
	if ps.err == nil {
		ps.fail(p, ps.b.Do(&backend.Fill{Dst: p.value, Value: value}))
	}
	return p
}

func (ps *Params) fail(p *Param, err error) {
	if err != nil && ps.err == nil {
		ps.err = fmt.Errorf("tensor: parameter %s: %w", p.Name, err)
	}
}

// add creates a zero parameter; after a failure it is a placeholder without
// memory.
func (ps *Params) add(name string, shape []int) *Param {
	mustHaveShape(name, shape)
	if ps.index[name] != nil {
		panic("tensor: two parameters named " + name)
	}
	p := &Param{Name: name, Trainable: true, Decay: len(shape) > 1, b: ps.b, value: backend.NewView(nil, ps.init.DType, shape...)}
	if ps.err == nil {
		p, ps.err = NewParam(ps.b, name, ps.init.DType, shape...)
		if ps.err != nil {
			p = &Param{Name: name, b: ps.b, value: backend.NewView(nil, ps.init.DType, shape...)}
		}
	}
	ps.all = append(ps.all, p)
	ps.index[name] = p
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

// CopyFrom overwrites the values of ps by those of src, name by name, on the
// same device. src may have more parameters, such as those of MTP modules.
// Those of ps may be held packed, those of src may not: their master values are
// gone.
func (ps *Params) CopyFrom(src *Params) error {
	for _, p := range ps.all {
		q := src.index[p.Name]
		if q == nil {
			return fmt.Errorf("tensor: copy: the source has no parameter %s", p.Name)
		}
		if q.Held() {
			return fmt.Errorf("tensor: copy %s: the source is held as %s: it has no master value", p.Name, q.packed.matrix.Format)
		}
		if !slices.Equal(p.Shape(), q.Shape()) {
			panic(fmt.Sprintf("tensor: copy %s: %v from %v", p.Name, p.Shape(), q.Shape()))
		}
		if err := p.set(q.value); err != nil {
			return err
		}
	}
	return nil
}

// Own makes Free give back buf too: memory of a layer that is no parameter, such
// as counters.
func (ps *Params) Own(buf backend.Buffer) { ps.owned = append(ps.owned, buf) }

// Free gives back the memory of all parameters, and what Own was given.
func (ps *Params) Free() {
	for _, buf := range ps.owned {
		ps.b.Free(buf)
	}
	ps.owned = nil
	for _, p := range ps.all {
		if p.value.Present() || p.Held() {
			p.Free()
		}
	}
}
