package cuda

import (
	"errors"
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/cublaslt"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
)

// maxWorkspace is the maximum workspace of a cuBLASLt product in bytes. It does
// not depend on the free memory, since the choice of algorithm depends on it.
const maxWorkspace = 32 << 20

// blas computes products with cuBLASLt. It always uses the algorithm that was
// chosen for the first product of the same problem. A nil *blas computes no
// products.
type blas struct {
	lib    *cublaslt.BLAS
	handle cublaslt.Handle
	plans  map[problem]*plan
}

// problem is everything that the choice of algorithm for C = A·B depends on.
// cuBLASLt's matrices are column-major, so it computes Cᵀ = Bᵀ·Aᵀ.
type problem struct {
	c, a, b operand
	batch   int
}

// operand describes the memory layout of a matrix or a stack of matrices as a
// column-major one; a row-major matrix is described as transposed.
type operand struct {
	dtype      backend.DType
	rows, cols int
	ld         int  // elements from one column to the next
	stride     int  // elements from one matrix of the stack to the next
	transposed bool // describes the transpose of the view
	align      int  // largest power of two, up to 16, that divides the address in bytes
}

// plan is the algorithm and the descriptors for a problem.
type plan struct {
	name      string
	desc      cublaslt.Desc
	c, a, b   cublaslt.Layout
	algo      cublaslt.Algo
	workspace int // bytes
}

// takes returns the product c = a·r as a problem, and whether cuBLASLt can
// compute it.
func (l *blas) takes(c, a *backend.View, r *right) (p problem, ok bool) {
	b := &r.data
	if l == nil || r.format != backend.Native || a.DType != b.DType || c.Len() == 0 || a.Dim(-1) == 0 {
		return p, false
	}
	if a.DType != backend.BF16 && (a.DType != backend.F32 || c.DType != backend.F32) {
		return p, false
	}
	p.batch, ok = p.c.set(c)
	ok = ok && p.c.transposed // cuBLASLt writes Cᵀ
	_, fitsA := p.a.set(a)
	_, fitsB := p.b.set(b)
	return p, ok && fitsA && fitsB
}

// set makes o describe v and returns the number of matrices. ok is false if the
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

// address returns the address of the first element of v.
func address(v *backend.View) driver.Ptr {
	return v.Buf.(*buffer).ptr + driver.Ptr(v.Offset*v.DType.Size())
}

// alignment returns the largest power of two, up to 16, that divides p.
func alignment(p driver.Ptr) int {
	if p%16 == 0 {
		return 16
	}
	return int(p & -p)
}

// product queues C = A·B, or C += A·B if accumulate is set.
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

// open creates the handle. The device's context must be current.
func (l *blas) open() (err error) {
	if l != nil {
		l.handle, err = l.lib.Create()
	}
	return err
}

// close destroys the plans and the handle.
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
