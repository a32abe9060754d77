package backend

import (
	"fmt"
	"slices"
	"strings"
)

// DType is the type of a view's elements.
type DType uint8

const (
	F32  DType = iota
	F64        // for tests only: whole models run in it and are compared with finite differences
	BF16       // activations, caches, moments: upper 16 bits of an F32, rounded to nearest even
	I32        // ids, positions, offsets
	I8         // bytes of packed quantised matrices
	E4M3       // storage: FP8 of the OCP standard, largest value 448, without infinities
	E5M2       // storage: FP8 of the OCP standard, largest finite value 57344
	F16        // storage: IEEE 754 binary16, largest finite value 65504
)

// Size returns the size of one element in bytes.
func (d DType) Size() int { return [...]int{4, 8, 2, 4, 1, 1, 1, 2}[d] }

var dtypeNames = []string{"F32", "F64", "BF16", "I32", "I8", "E4M3", "E5M2", "F16"}

func (d DType) String() string { return word("DType", d, dtypeNames) }

// Compute returns the dtype in which ops on activations of dtype d keep statistics
// and accumulators: F32 for BF16, else d itself.
func (d DType) Compute() DType {
	if d == BF16 {
		return F32
	}
	return d
}

// IsFloat reports whether d is a floating-point type.
func (d DType) IsFloat() bool { return d != I32 && d != I8 }

// MaxRank is the largest number of dimensions of a view.
const MaxRank = 4

// View is a strided window into a buffer. Offset and strides count elements; strides are
// not negative. A stride of 0 repeats an element along that dimension (broadcasting). The
// zero View is an absent operand.
type View struct {
	Buf     Buffer
	Offset  int
	Rank    int
	Shape   [MaxRank]int
	Strides [MaxRank]int
	DType   DType
}

// NewView returns a contiguous row-major view of the first elements of buf.
func NewView(buf Buffer, dt DType, shape ...int) View {
	if len(shape) > MaxRank {
		// Formatting a clone keeps shape itself on the caller's stack; the same is done below.
		panic(fmt.Sprintf("backend: NewView: shape %v has more than %d dimensions", slices.Clone(shape), MaxRank))
	}
	v := View{Buf: buf, DType: dt, Rank: len(shape)}
	stride := 1
	for i := len(shape) - 1; i >= 0; i-- {
		v.Shape[i], v.Strides[i] = shape[i], stride
		stride *= shape[i]
	}
	return v
}

// Present reports whether v is a view of a buffer, not an absent operand.
func (v *View) Present() bool { return v.Buf != nil }

// Len returns the number of elements.
func (v *View) Len() int {
	n := 1
	for i := range v.Rank {
		n *= v.Shape[i]
	}
	return n
}

// Dim returns the size of dimension i; negative i counts from the last.
func (v *View) Dim(i int) int { return v.Shape[v.axis(i)] }

// Stride returns the stride of dimension i in elements; negative i counts from the last.
func (v *View) Stride(i int) int { return v.Strides[v.axis(i)] }

func (v *View) axis(i int) int {
	if i < 0 {
		i += v.Rank
	}
	if i < 0 || i >= v.Rank {
		panic(fmt.Sprintf("backend: dimension %d of a view of rank %d", i, v.Rank))
	}
	return i
}

// Dims returns the shape as a fresh slice.
func (v *View) Dims() []int { return append([]int(nil), v.Shape[:v.Rank]...) }

// Contiguous reports whether the elements are row-major without gaps.
func (v *View) Contiguous() bool {
	stride := 1
	for i := v.Rank - 1; i >= 0; i-- {
		if v.Shape[i] != 1 && v.Strides[i] != stride {
			return v.Len() == 0
		}
		stride *= v.Shape[i]
	}
	return true
}

// Reshape returns the same elements in another shape; v must be contiguous.
func (v View) Reshape(shape ...int) View {
	w := NewView(v.Buf, v.DType, shape...)
	if w.Len() != v.Len() {
		panic(fmt.Sprintf("backend: Reshape: %v has %d elements, %v has %d", v.Dims(), v.Len(), slices.Clone(shape), w.Len()))
	}
	if !v.Contiguous() {
		panic(fmt.Sprintf("backend: Reshape: %s is not contiguous", v))
	}
	w.Offset = v.Offset
	return w
}

// Slice returns the part [lo, hi) of dimension axis.
func (v View) Slice(axis, lo, hi int) View {
	axis = v.axis(axis)
	if lo < 0 || hi < lo || hi > v.Shape[axis] {
		panic(fmt.Sprintf("backend: Slice: [%d:%d] of dimension %d of %v", lo, hi, axis, v.Dims()))
	}
	v.Offset += lo * v.Strides[axis]
	v.Shape[axis] = hi - lo
	return v
}

// Index returns v with dimension 0 fixed at i, one rank lower.
func (v View) Index(i int) View {
	w := v.Slice(0, i, i+1)
	w.Rank--
	copy(w.Shape[:], v.Shape[1:])
	copy(w.Strides[:], v.Strides[1:])
	w.Shape[w.Rank], w.Strides[w.Rank] = 0, 0
	return w
}

// Permute reorders the dimensions: dimension i of the result is order[i] of v.
func (v View) Permute(order ...int) View {
	if len(order) != v.Rank {
		panic(fmt.Sprintf("backend: Permute: %v of a view of rank %d", slices.Clone(order), v.Rank))
	}
	w := v
	var seen [MaxRank]bool
	for i, o := range order {
		if o < 0 || o >= v.Rank || seen[o] {
			panic(fmt.Sprintf("backend: Permute: %v is not a permutation", slices.Clone(order)))
		}
		seen[o] = true
		w.Shape[i], w.Strides[i] = v.Shape[o], v.Strides[o]
	}
	return w
}

// T swaps the last two dimensions.
func (v View) T() View {
	if v.Rank < 2 {
		panic(fmt.Sprintf("backend: T of a view of rank %d", v.Rank))
	}
	i, j := v.Rank-2, v.Rank-1
	v.Shape[i], v.Shape[j] = v.Shape[j], v.Shape[i]
	v.Strides[i], v.Strides[j] = v.Strides[j], v.Strides[i]
	return v
}

// Unsqueeze inserts a dimension of size 1 before axis (axis may be the rank).
func (v View) Unsqueeze(axis int) View {
	if v.Rank == MaxRank || axis < 0 || axis > v.Rank {
		panic(fmt.Sprintf("backend: Unsqueeze: axis %d of a view of rank %d", axis, v.Rank))
	}
	w := v
	copy(w.Shape[axis+1:], v.Shape[axis:v.Rank])
	copy(w.Strides[axis+1:], v.Strides[axis:v.Rank])
	w.Shape[axis], w.Strides[axis] = 1, 0
	w.Rank++
	return w
}

// BroadcastTo repeats v to the given shape by stride 0, aligning trailing
// dimensions as NumPy does.
func (v View) BroadcastTo(shape ...int) View {
	w := View{Buf: v.Buf, Offset: v.Offset, DType: v.DType, Rank: len(shape)}
	if len(shape) < v.Rank || len(shape) > MaxRank {
		panic(fmt.Sprintf("backend: BroadcastTo: %v to %v", v.Dims(), slices.Clone(shape)))
	}
	lead := len(shape) - v.Rank
	for i, n := range shape {
		w.Shape[i] = n
		if i < lead {
			continue
		}
		switch v.Shape[i-lead] {
		case n:
			w.Strides[i] = v.Strides[i-lead]
		case 1:
		default:
			panic(fmt.Sprintf("backend: BroadcastTo: %v to %v", v.Dims(), slices.Clone(shape)))
		}
	}
	return w
}

// String shows dtype, shape and, unless contiguous, strides.
func (v View) String() string {
	if !v.Present() {
		return "absent"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%v", v.DType, v.Shape[:v.Rank])
	if !v.Contiguous() {
		fmt.Fprintf(&b, "/strides%v", v.Strides[:v.Rank])
	}
	return b.String()
}

// bounds returns the smallest and largest index that v reaches, in elements of its
// buffer; ok is false if v is empty.
func (v *View) bounds() (lo, hi int, ok bool) {
	lo, hi = v.Offset, v.Offset
	for i := range v.Rank {
		if v.Shape[i] == 0 {
			return 0, 0, false
		}
		if d := (v.Shape[i] - 1) * v.Strides[i]; d > 0 {
			hi += d
		} else {
			lo += d
		}
	}
	return lo, hi, true
}
