package backend

import (
	"errors"
	"fmt"
)

// Buffer is a block of device memory made by Backend.Alloc.
type Buffer interface {
	// Bytes is the size that was asked for.
	Bytes() int
}

// Backend is one in-order queue of one device; NewQueue makes another one. It is
// used by one goroutine at a time. Errors of asynchronous work surface at Download
// and Sync.
type Backend interface {
	// Name is the registry name, such as "cpu" or "cuda:0".
	Name() string
	// Alloc returns a buffer of the given size in bytes. Its content is undefined.
	Alloc(bytes int) (Buffer, error)
	// Free gives a buffer back. Work already queued on it still completes.
	Free(Buffer)
	// Upload copies src to dst from byte off on; src may be reused on return.
	Upload(dst Buffer, off int, src []byte) error
	// Download waits for the work queued on src and copies len(dst) bytes from byte off.
	Download(dst []byte, src Buffer, off int) error
	// Do queues one op. It returns an error that wraps errors.ErrUnsupported,
	// before any effect, where it lacks this op, dtype or layout.
	Do(Op) error
	// Sync waits for all work of the queue.
	Sync() error
	// MemInfo is the memory that buffers may take together and what is left of
	// it, in bytes; 0, 0 if unknown.
	MemInfo() (total, free int)
	Close() error
}

// Access says how an op uses one operand.
type Access uint8

const (
	Read Access = iota
	Write
	ReadWrite
)

var accessNames = []string{"read", "write", "read-write"}

func (a Access) String() string { return word("Access", a, accessNames) }

// Op is one operation on device memory. Ops are passed by pointer and may be
// kept and run again (Record); what changes from run to run therefore lives in
// buffers, never in an op's fields.
//
// A result may be the same view as an operand in elementwise ops and RoPE. Otherwise
// results overlap no operand: backends compute in parallel, in any order.
type Op interface {
	// Name is the op's type name, such as "RMSNorm".
	Name() string
	// Operands visits every present operand with how it is accessed.
	Operands(visit func(*View, Access))
	// Check reports the first inconsistency of shapes, dtypes or layout.
	Check() error
}

// Decomposer is an op that can be expressed by simpler ones. The others are
// core: every backend has them, or borrows them through Fallback. Core are the
// element-wise ops, Reduce, Softmax, TopK, Gather, Scatter and their kin,
// Random, MatMul, and those that are no sum of simpler ones: MoEGate, MoERoute,
// SequenceBalance with its gradient, and Sample.
type Decomposer interface {
	Op
	// Decompose performs the op through x. It is the op's definition in terms
	// of core ops: slower, and within rounding of the fused kernels.
	Decompose(x *Expander)
}

// Unsupported is the error a backend returns from Do for an op it lacks.
func Unsupported(b Backend, op Op, why string) error {
	if why != "" {
		why = " (" + why + ")"
	}
	return fmt.Errorf("%s: %s%s: %w", b.Name(), op.Name(), why, errors.ErrUnsupported)
}
