package tensor

import (
	"fmt"
	"unsafe"

	"github.com/aha-go/aha/backend"
)

// Tensor is a value in a Scope: a view of device memory and its place on the tape. It is
// passed by value; the zero Tensor is absent.
//
// After its memory was freed, Present, Scope, Shape, Dim, Rank, Len, DType and String
// still describe it; every other function and method panics. A Tensor that is a view of a
// parameter or a cache is valid as long as that is.
type Tensor struct {
	view backend.View
	s    *Scope
	st   *storage // nil for a parameter's own memory
	val  *value   // nil for constants
}

// value is the result of a node on the tape, and its gradient so far.
type value struct {
	grad  gradient
	spent bool // the node is no longer on the tape: a gradient for it would be lost
}

// spend marks v as off the tape and releases its gradient.
func (v *value) spend() {
	v.spent = true
	if v.grad.st != nil {
		v.grad.st.release()
		v.grad = gradient{}
	}
}

// Present reports whether t is not the zero Tensor.
func (t Tensor) Present() bool { return t.s != nil }

// Scope returns the scope in which t was made. If that was the scope of a Recompute that
// has ended, it returns the scope around it. It returns nil if t is absent.
func (t Tensor) Scope() *Scope {
	s := t.s
	for s != nil && s.ended {
		s = s.parent
	}
	return s
}

// View returns t's memory, for backend ops.
func (t Tensor) View() backend.View {
	t.mustLive("View")
	return t.view
}

// Shape returns t's dimensions.
func (t Tensor) Shape() []int { return t.view.Dims() }

// Dim returns the size of dimension i; negative i counts from the last.
func (t Tensor) Dim(i int) int { return t.view.Dim(i) }

// Rank returns the number of dimensions.
func (t Tensor) Rank() int { return t.view.Rank }

// Len returns the number of elements.
func (t Tensor) Len() int { return t.view.Len() }

// DType returns the element type.
func (t Tensor) DType() backend.DType { return t.view.DType }

// String returns dtype and shape.
func (t Tensor) String() string { return t.view.String() }

// Keep marks t, so that it can still be read after Backward, until Reset, and returns t.
func (t Tensor) Keep() Tensor {
	t.mustLive("Keep")
	if t.st != nil {
		t.st.kept = true
	}
	return t
}

// alloc returns an uninitialised contiguous tensor.
func (s *Scope) alloc(dt backend.DType, shape ...int) Tensor {
	t := Tensor{view: backend.NewView(nil, dt, shape...), s: s}
	if s.err != nil {
		return t
	}
	st, err := s.mem.get(t.view.Len() * dt.Size())
	if err != nil {
		s.err = fmt.Errorf("tensor: %s%v: %w", dt, t.Shape(), err)
		return t
	}
	s.held = append(s.held, st)
	t.st, t.view.Buf = st, st.buf
	return t
}

// allocLike returns an uninitialised contiguous tensor with v's dtype and shape.
func (s *Scope) allocLike(v backend.View) Tensor { return s.alloc(v.DType, v.Shape[:v.Rank]...) }

// Empty returns a tensor with undefined content.
func (s *Scope) Empty(dt backend.DType, shape ...int) Tensor { return s.alloc(dt, shape...) }

// Full returns a tensor with every element equal to value.
func (s *Scope) Full(dt backend.DType, value float64, shape ...int) Tensor {
	t := s.alloc(dt, shape...)
	s.do(&backend.Fill{Dst: t.view, Value: value})
	return t
}

// Constant returns memory outside the scope, such as a parameter or a cache, as a tensor
// without gradient.
func (s *Scope) Constant(v backend.View) Tensor { return Tensor{view: v, s: s} }

// Floats uploads data as a tensor of dt (F32 or F64) and the given shape.
func (s *Scope) Floats(dt backend.DType, data []float64, shape ...int) Tensor {
	switch dt {
	case backend.F32:
	case backend.F64:
		return upload(s, dt, data, shape)
	default:
		panic(fmt.Sprintf("tensor: Floats: %s%v, want F32 or F64", dt, shape))
	}
	f := make([]float32, len(data))
	for i, v := range data {
		f[i] = float32(v)
	}
	return upload(s, backend.F32, f, shape)
}

// Float32s uploads data as an F32 tensor.
func (s *Scope) Float32s(data []float32, shape ...int) Tensor {
	return upload(s, backend.F32, data, shape)
}

// Ints uploads data as an I32 tensor.
func (s *Scope) Ints(data []int32, shape ...int) Tensor {
	return upload(s, backend.I32, data, shape)
}

func upload[T float32 | float64 | int32](s *Scope, dt backend.DType, data []T, shape []int) Tensor {
	t := s.alloc(dt, shape...)
	if t.Len() != len(data) {
		panic(fmt.Sprintf("tensor: %d values for shape %v", len(data), shape))
	}
	Upload(t, data)
	return t.Keep() // inputs are small, and Recompute reads them again
}

// Upload overwrites a contiguous tensor with data of the same element type and length.
func Upload[T float32 | float64 | int32](t Tensor, data []T) {
	if t.s.err != nil {
		return
	}
	v := t.View()
	mustHold[T](v, len(data))
	if len(data) == 0 {
		return
	}
	if err := t.s.b.Upload(v.Buf, v.Offset*v.DType.Size(), bytesOf(data)); err != nil {
		t.s.Fail(fmt.Errorf("tensor: upload to %s: %w", v, err))
	}
}

// Download copies a contiguous tensor to dst, which must have its length and element type
// (int32 for an I32 tensor). It waits for the work queued before and returns the scope's
// first error.
func Download[T float32 | float64 | int32](dst []T, t Tensor) error {
	if t.s.err != nil {
		return t.s.err
	}
	v := t.View()
	mustHold[T](v, len(dst))
	if len(dst) == 0 {
		return nil
	}
	if err := t.s.b.Download(bytesOf(dst), v.Buf, v.Offset*v.DType.Size()); err != nil {
		t.s.Fail(fmt.Errorf("tensor: download of %s: %w", v, err))
	}
	return t.s.err
}

// mustHold panics unless v is a contiguous view of n elements of type T.
func mustHold[T float32 | float64 | int32](v backend.View, n int) {
	dt := backend.F32
	switch any(T(0)).(type) {
	case float64:
		dt = backend.F64
	case int32:
		dt = backend.I32
	}
	if dt != v.DType || n != v.Len() || !v.Contiguous() {
		panic(fmt.Sprintf("tensor: copy of %d %s elements to or from %s", n, dt, v))
	}
}

func bytesOf[T float32 | float64 | int32](data []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(data[0])))
}

// Values downloads a tensor of any dtype and layout as float64, in row-major order.
func (t Tensor) Values() ([]float64, error) {
	if t.s.err != nil {
		return nil, t.s.err
	}
	x, err := backend.Values(t.s.b, t.View())
	if err != nil {
		t.s.Fail(fmt.Errorf("tensor: %w", err))
	}
	return x, err
}

// Item returns the value of a one-element tensor.
func (t Tensor) Item() (float64, error) {
	if t.Len() != 1 {
		panic(fmt.Sprintf("tensor: Item of %s", t.view))
	}
	v, err := t.Values()
	if err != nil {
		return 0, err
	}
	return v[0], nil
}
