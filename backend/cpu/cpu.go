package cpu

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

func init() {
	backend.Register("cpu", func(device string) (backend.Backend, error) {
		if device != "" {
			return nil, fmt.Errorf("backend cpu has no device %q", device)
		}
		return New(Options{})
	})
}

// CPU is a backend that runs each op to completion before Do returns, on up to
// GOMAXPROCS threads.
type CPU struct {
	pool   *pool
	memory ledger
	closed bool

	f32    state[float32]
	f64    state[float64]
	groups []int // group offsets of the grouped op in progress

	formatted        formatted
	formattedLogProb formattedLogProb
}

// Options configures a CPU.
type Options struct {
	// MemoryLimit is the maximum total size of this CPU's buffers in bytes. The
	// memory of the machine, the cgroup and the environment variable AHA_MEMORY
	// bound it in any case; 0 sets no further limit.
	//
	// It bounds buffers, not the process: the garbage collector lets the
	// program's own garbage grow in proportion to the heap, buffers included,
	// unless GOMEMLIMIT bounds it.
	MemoryLimit int
}

// New returns a CPU backend with GOMAXPROCS(0) workers, the caller included. It
// returns an error if AHA_CPU names no kernel path of this machine, AHA_MEMORY
// is not a size such as "8GiB", or an option is out of range.
func New(o Options) (*CPU, error) {
	if err := asm.PathErr(); err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	lims, err := limits(o.MemoryLimit)
	if err != nil {
		return nil, err
	}
	return newCPU(runtime.GOMAXPROCS(0), lims), nil
}

func newCPU(workers int, limits []limit) *CPU {
	return &CPU{pool: newPool(workers), memory: ledger{limits: limits, held: map[backend.Holder]int{}}}
}

// Name returns "cpu".
func (b *CPU) Name() string { return "cpu" }

// state is the memory that the ops of one dtype reuse from call to call, so
// that they allocate nothing in the steady state.
type state[T number] struct {
	products[T]
	reduce reduce[T]
	fused  fused[T]
}

type buffer struct {
	mem    []byte // aligned to 64 bytes
	bytes  int
	holder backend.Holder
}

func (b *buffer) Bytes() int { return b.bytes }

// align is the alignment of buffers in bytes: a cache line, which is also the
// size of a zmm register.
const align = 64

// Alloc calls AllocFor with backend.Other.
func (b *CPU) Alloc(bytes int) (backend.Buffer, error) { return b.AllocFor(backend.Other, bytes) }

// AllocFor returns zeroed memory of the Go heap. It returns an error that names
// the budget and its largest holders if the allocation would exceed the budget,
// since running out of memory would end the process. The budget is the smallest
// of the machine's memory, the memory that was available when the CPU was
// opened, the limit of the process's cgroup, AHA_MEMORY and
// Options.MemoryLimit.
func (b *CPU) AllocFor(h backend.Holder, bytes int) (backend.Buffer, error) {
	if bytes < 0 || bytes > math.MaxInt-2*hugePage {
		return nil, fmt.Errorf("cpu: Alloc of %d bytes", bytes)
	}
	if b.closed {
		return nil, errors.New("cpu: Alloc after Close")
	}
	if err := b.memory.take(h, bytes); err != nil {
		return nil, err
	}
	if bytes >= hugePage {
		return &buffer{mem: allocHuge(bytes), bytes: bytes, holder: h}, nil
	}
	raw := make([]byte, bytes+align)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % align)
	return &buffer{mem: raw[skip : skip+bytes : skip+bytes], bytes: bytes, holder: h}, nil
}

// Free releases the buffer's memory. Using the buffer afterwards panics.
func (b *CPU) Free(buf backend.Buffer) {
	if f := buf.(*buffer); f.mem != nil {
		if f.bytes >= hugePage {
			freeHuge(f.mem)
		}
		f.mem = nil
		b.memory.give(f.holder, f.bytes)
	}
}

// MemInfo returns the memory budget of buffers and what is left of it, in
// bytes. If several limits apply, it returns the one that has the least left;
// if none does, 0, 0.
func (b *CPU) MemInfo() (total, free int) {
	if tight, room := b.memory.room(); tight != nil {
		return tight.bytes, room
	}
	return 0, 0
}

// Upload copies src to dst, starting at byte off of dst. It panics if src does
// not fit.
func (b *CPU) Upload(dst backend.Buffer, off int, src []byte) error {
	copy(window("Upload", dst, off, len(src)), src)
	return nil
}

// Download fills dst with bytes of src, starting at byte off. It panics if src
// ends before dst is full.
func (b *CPU) Download(dst []byte, src backend.Buffer, off int) error {
	copy(dst, window("Download", src, off, len(dst)))
	return nil
}

// window returns n bytes of buf starting at byte off.
func window(call string, buf backend.Buffer, off, n int) []byte {
	mem := buf.(*buffer).mem
	if off < 0 || n > len(mem)-off {
		panic(fmt.Errorf("cpu: %s: bytes %d to %d of a buffer of %d", call, off, off+n, len(mem)))
	}
	return mem[off : off+n]
}

// Sync does nothing: Do is synchronous.
func (b *CPU) Sync() error { return nil }

// Close stops the workers. Buffers stay readable until they are garbage
// collected.
func (b *CPU) Close() error {
	if !b.closed {
		b.closed = true
		b.memory.close()
		b.pool.close()
	}
	return nil
}

// number is the type in which kernels compute.
type number interface{ float32 | float64 }

// data returns the memory of v from its first element on. T must match v.DType
// (uint16 for BF16 and F16, uint8 for E4M3, E5M2 and I8).
func data[T number | int32 | uint16 | uint8](v *backend.View) []T {
	mem := v.Buf.(*buffer).mem
	var t T
	size := int(unsafe.Sizeof(t))
	if v.DType.Size() != size {
		panic(fmt.Sprintf("cpu: %s view read as %d-byte elements", v.DType, size))
	}
	all := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), len(mem)/size)
	return all[min(v.Offset, len(all)):] // an empty view may begin past the end
}

// elementBytes returns the memory of v from its first element on.
func elementBytes(v *backend.View) []byte {
	mem := v.Buf.(*buffer).mem
	return mem[min(v.Offset*v.DType.Size(), len(mem)):]
}
