package driver

import (
	"fmt"
	"math"
	"unsafe"
)

const (
	maxParams  = 64   // maximum number of parameters of a kernel
	paramBytes = 4096 // maximum size of all parameters: the limit before CUDA 12.1
)

// Args are the parameters of one launch, in the kernel's order. Driver.Args
// returns them, and Launch takes them back. Their number and types must match
// the kernel's: the driver reads as many bytes of each as the kernel declares,
// and crashes the process if a parameter is missing.
type Args struct {
	call   [11]uintptr            // arguments of cuLaunchKernel
	params [maxParams + 1]uintptr // addresses in data, followed by 0
	n      int
	data   [paramBytes / 8]uint64
	used   int // number of words in use
}

// Args returns an empty list of parameters from the driver's pool.
func (d *Driver) Args() *Args { return d.args.Get().(*Args) }

// next returns the word at which the next parameter, of size bytes, starts.
// Each parameter starts at a multiple of 8 bytes.
func (a *Args) next(size int) *uint64 {
	words := max((size+7)/8, 1)
	if a.n == maxParams || a.used+words > len(a.data) {
		panic(fmt.Sprintf("driver: a launch takes %d parameters and %d bytes at most", maxParams, paramBytes))
	}
	w := &a.data[a.used]
	a.params[a.n] = uintptr(unsafe.Pointer(w))
	a.n++
	a.used += words
	return w
}

// Ptr adds an address in device memory.
func (a *Args) Ptr(p Ptr) *Args { return a.U64(uint64(p)) }

// U64 adds an unsigned 64-bit integer.
func (a *Args) U64(v uint64) *Args {
	*a.next(8) = v
	return a
}

// I64 adds a signed 64-bit integer.
func (a *Args) I64(v int64) *Args { return a.U64(uint64(v)) }

// I32 adds an int.
func (a *Args) I32(v int32) *Args {
	*a.next(4) = uint64(uint32(v))
	return a
}

// F32 adds a float.
func (a *Args) F32(v float32) *Args {
	*a.next(4) = uint64(math.Float32bits(v))
	return a
}

// F64 adds a double.
func (a *Args) F64(v float64) *Args { return a.U64(math.Float64bits(v)) }

// Struct adds a copy of *v, a struct whose fields must have the offsets of the
// kernel's struct and no Go pointers.
func Struct[T any](a *Args, v *T) *Args {
	size := int(unsafe.Sizeof(*v))
	dst := unsafe.Slice((*byte)(unsafe.Pointer(a.next(size))), size)
	copy(dst, unsafe.Slice((*byte)(unsafe.Pointer(v)), size))
	return a
}
