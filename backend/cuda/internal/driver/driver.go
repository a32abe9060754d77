// Package driver binds the CUDA driver API (libcuda), which it loads at run time.
// Its methods have the names of the C functions without "cu" and "_v2", and take
// and return Go types. No float and no struct is passed by value.
//
// The current context belongs to a thread, and goroutines move between threads, so
// all calls that need a context must be between Pin and Release.
//
// Frequent calls (launches, copies, events, synchronization) allocate no memory:
// their arguments are in pooled blocks.
package driver

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// Handles of the driver. The zero Stream is the NULL stream.
type (
	Ptr     uintptr // address in device memory
	Device  int32
	Context uintptr
	Stream  uintptr
	Event   uintptr
	Module  uintptr
)

// Function is a kernel of a loaded module.
type Function struct {
	Name   string
	handle uintptr
}

// Driver is the driver library, initialized. Its methods may be called by
// several goroutines at once.
type Driver struct {
	Path    string // the library's file
	Version int    // the newest CUDA version it supports, 1000·major + 10·minor

	fn       []uintptr
	blocks   sync.Pool // of *block
	args     sync.Pool // of *Args
	launches ring
}

func spec() dynlib.Spec {
	s := dynlib.Spec{
		Title:    "libcuda, the NVIDIA driver's library",
		Override: "AHA_CUDA_DRIVER",
		Names:    []string{"libcuda.so.1"},
		Places:   dynlib.DriverPlaces(),
		Install:  "install the NVIDIA driver for the GPU, or set AHA_CUDA_DRIVER to the library's path",
	}
	if runtime.GOOS == "windows" {
		s.Names = []string{"nvcuda.dll"}
	}
	return s
}

// Open loads the driver library and initializes it. On a machine without a GPU
// it returns a *dynlib.OpenError, or an error that wraps NoDevice.
func Open() (*Driver, error) {
	lib, err := dynlib.Open(spec())
	if err != nil {
		return nil, err
	}
	fn, err := lib.Bind(callNames)
	if err != nil {
		return nil, err
	}
	d := &Driver{Path: lib.Path, fn: fn}
	d.blocks.New = func() any { return new(block) }
	d.args.New = func() any { return new(Args) }
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuInit, 0); err != nil {
		return nil, err
	}
	if err := d.call(b, cuDriverGetVersion, b.out(0)); err != nil {
		return nil, err
	}
	d.Version = b.int(0)
	return d, nil
}

// block is the memory of one call: its arguments and results. It is on the
// heap, where it does not move while C has addresses in it.
type block struct {
	args   [5]uintptr
	result [2]uint64
	host   *byte          // host memory that the driver returns
	keep   unsafe.Pointer // Go memory that an argument points to
}

func (d *Driver) block() *block { return d.blocks.Get().(*block) }

func (d *Driver) done(b *block) {
	*b = block{}
	d.blocks.Put(b)
}

// out returns the address of result i.
func (b *block) out(i int) uintptr { return uintptr(unsafe.Pointer(&b.result[i])) }

// memory returns the address of host.
func (b *block) memory() uintptr { return uintptr(unsafe.Pointer(&b.host)) }

// bytes returns the address of p's memory, which b keeps alive and in place.
func (b *block) bytes(p []byte) uintptr {
	b.keep = unsafe.Pointer(unsafe.SliceData(p))
	return uintptr(b.keep)
}

// int returns result i as a C int.
func (b *block) int(i int) int { return int(int32(b.result[i])) }

// do calls c and returns its Result.
func (d *Driver) do(b *block, c call, args ...uintptr) Result {
	n := copy(b.args[:], args)
	r := dynlib.Call(d.fn[c], b.args[:n]...)
	runtime.KeepAlive(b)
	return Result(r)
}

// call calls c and returns an *Error if it fails.
func (d *Driver) call(b *block, c call, args ...uintptr) error {
	if r := d.do(b, c, args...); r != success {
		return d.failure(c, r, "")
	}
	return nil
}

// simple calls c, whose only result is its Result.
func (d *Driver) simple(c call, args ...uintptr) error {
	b := d.block()
	err := d.call(b, c, args...)
	d.done(b)
	return err
}

// query calls c, which reports whether work has ended.
func (d *Driver) query(c call, handle uintptr) (bool, error) {
	b := d.block()
	r := d.do(b, c, handle)
	d.done(b)
	if r == success || r == notReady {
		return r == success, nil
	}
	return false, d.failure(c, r, "")
}

// handle calls c, whose first argument is the address of a handle or address to
// write.
func (d *Driver) handle(c call, arg uintptr) (uintptr, error) {
	b := d.block()
	err := d.call(b, c, b.out(0), arg)
	h := uintptr(b.result[0])
	d.done(b)
	return h, err
}

// detail adds text, what was requested, to the error of a call.
func detail(err error, text string) error {
	if e, ok := err.(*Error); ok {
		e.Detail = text
	}
	return err
}
