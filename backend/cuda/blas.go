package cuda

import (
	"errors"
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/cublaslt"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
)

// maxWorkspace bounds the memory of one product of cuBLASLt in bytes. Whatever is
// free, it is the same: the choice of algorithms depends on it.
const maxWorkspace = 32 << 20

// blas computes products by cuBLASLt, each size by the algorithm that it was first
// computed with. The nil *blas computes none.
type blas struct {
	lib    *cublaslt.BLAS
	handle cublaslt.Handle
	plans  map[problem]*plan
}

// problem is what the algorithm of a product C = A·B depends on. cuBLASLt's matrices
// are column-major: it is given Cᵀ = Bᵀ·Aᵀ.
type problem struct {
	c, a, b operand
	batch   int
}

// operand is how a matrix, or a stack of them, lies in memory: columns contiguous,
// once row-major ones are seen as transposed.
type operand struct {
	dtype      backend.DType
	rows, cols int
	ld         int  // elements from one column to the next
	stride     int  // elements from one matrix of the stack to the next
	transposed bool // it is the view's transpose
	align      int  // bytes that the address is a multiple of, 16 at most
}

// plan is how a problem is computed.
type plan struct {
	name      string
	desc      cublaslt.Desc
	c, a, b   cublaslt.Layout
	algo      cublaslt.Algo
	workspace int // bytes
}

// takes is the product c = a·r as cuBLASLt sees it, if it has what it takes.
func (l *blas) takes(c, a *backend.View, r *right) (p problem, ok bool) {
	b := &r.data
	if l == nil || r.format != backend.Native || a.DType != b.DType || c.Len() == 0 || a.Dim(-1) == 0 {
		return p, false
	}
	if a.DType != backend.BF16 && (a.DType != backend.F32 || c.DType != backend.F32) {
		return p, false
	}
	p.batch, ok = p.c.set(c)
	ok = ok && p.c.transposed // cuBLASLt's result is Cᵀ
	_, fitsA := p.a.set(a)
	_, fitsB := p.b.set(b)
	return p, ok && fitsA && fitsB
}

// set makes o describe v, and returns how many matrices there are. It fails where the
// strides are not those of column-major or row-major matrices.
func (o *operand) set(v *backend.View) (batch int, ok bool) {
	rows, cols, down, across := v.Dim(-2), v.Dim(-1), v.Stride(-2), v.Stride(-1)
	o.dtype = v.DType
	switch {
	case (across == 1 || cols == 1) && (down >= cols || rows == 1):
		o.rows, o.cols, o.ld, o.transposed = cols, rows, cols, true
		if rows > 1 {
			o.ld = down
		}
	case (down == 1 || rows == 1) && across >= rows:
		o.rows, o.cols, o.ld = rows, cols, across
	default:
		return 0, false
	}
	batch = 1
	for i := v.Rank - 3; i >= 0; i-- {
		switch n := v.Shape[i]; {
		case n == 1:
		case batch == 1:
			batch, o.stride = n, v.Strides[i]
		case v.Strides[i] != batch*o.stride:
			return 0, false
		default:
			batch *= n
		}
	}
	o.align = alignment(address(v))
	return batch, o.stride >= 0
}

// address is where the first element of v lies.
func address(v *backend.View) driver.Ptr {
	return v.Buf.(*buffer).ptr + driver.Ptr(v.Offset*v.DType.Size())
}

// alignment is the largest power of two that divides p, 16 at most.
func alignment(p driver.Ptr) int {
	if p%16 == 0 {
		return 16
	}
	return int(p & -p)
}

// product queues C = A·B, or C += A·B.
func (l *blas) product(d *CUDA, p problem, c, a, b *backend.View, accumulate bool) error {
	plan, err := l.plan(p)
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	s := scratch{b: d}
	defer s.free()
	var workspace driver.Ptr
	if plan.workspace > 0 {
		v, err := s.view(backend.I8, plan.workspace)
		if err != nil {
			return err
		}
		workspace = address(&v)
	}
	beta := float32(0)
	if accumulate {
		beta = 1
	}
	err = l.lib.Matmul(l.handle, plan.desc, 1, cublaslt.Matrix{At: address(b), Layout: plan.b},
		cublaslt.Matrix{At: address(a), Layout: plan.a}, beta, cublaslt.Matrix{At: address(c), Layout: plan.c},
		&plan.algo, workspace, plan.workspace, d.stream)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", d.name, plan.name, err)
	}
	d.driver.Queued(plan.name, d.stream)
	if d.debug {
		return d.await(plan.name)
	}
	return nil
}

// open makes the handle. The device's context is current.
func (l *blas) open() (err error) {
	if l != nil {
		l.handle, err = l.lib.Create()
	}
	return err
}

// close gives the handle and all plans back.
func (l *blas) close() error {
	if l == nil || l.handle == 0 {
		return nil
	}
	var errs []error
	for _, p := range l.plans {
		errs = append(errs, l.drop(p))
	}
	l.plans = nil
	return errors.Join(append(errs, l.lib.Destroy(l.handle))...)
}
