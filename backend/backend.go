package backend

import (
	"errors"
	"fmt"
)

// Buffer is a block of device memory made by Backend.Alloc.
type Buffer interface {
	// Bytes returns the size passed to Alloc.
	Bytes() int
}

// Backend is one in-order queue of a device; NewQueue makes another one. It must be used
// by one goroutine at a time. Download and Sync return the errors of asynchronous work.
type Backend interface {
	// Name returns the registry name, such as "cpu" or "cuda:0".
	Name() string
	// Alloc returns a buffer of the given size in bytes. Its content is undefined.
	Alloc(bytes int) (Buffer, error)
	// Free releases a buffer. Work already queued on it still completes.
	Free(Buffer)
	// Upload copies src to dst, beginning at byte off. The caller may reuse src on
	// return.
	Upload(dst Buffer, off int, src []byte) error
	// Download waits for the work queued on src and copies len(dst) bytes, beginning at
	// byte off.
	Download(dst []byte, src Buffer, off int) error
	// Do queues one op. If the backend lacks the op, or its dtype or layout, Do has no
	// effect and returns an error that wraps errors.ErrUnsupported.
	Do(Op) error
	// Sync waits for all queued work.
	Sync() error
	// MemInfo returns the memory available to buffers in total and what is free of it, in
	// bytes; 0, 0 if unknown.
	MemInfo() (total, free int)
	// Close releases the device. The backend must not be used after it.
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

// Op is one operation on device memory. Ops are passed by pointer and may be kept and run
// again (Record); what changes from run to run therefore lives in buffers, never in an
// op's fields.
//
// In elementwise ops and RoPE, a result may be the same view as an operand. In all other
// cases results must not overlap operands, since backends compute in parallel, in any
// order.
type Op interface {
	// Name returns the op's name: its type, such as "RMSNorm", or its function, such as "Exp".
	Name() string
	// Operands calls visit for every operand that is present.
	Operands(visit func(*View, Access))
	// Check returns an error for the first inconsistency of shapes, dtypes or layout.
	Check() error
}

// Decomposer is an op that can be computed by simpler ones. All other ops are core ops:
// every backend has them, or borrows them through Fallback. The core ops are the
// elementwise ops, Reduce, Softmax, TopK, Gather, Scatter, GatherLast, ScatterLast,
// Random, MatMul, and those that simpler ops cannot express: MoEGate, MoERoute,
// SequenceBalance with its gradient, and Sample.
type Decomposer interface {
	Op
	// Decompose performs the op through x. It is the op's definition in terms of core
	// ops: it is slower than a fused kernel and agrees with it within rounding.
	Decompose(x *Expander)
}

// Unsupported returns the error that a backend returns from Do for an op it lacks. The
// reason why may be empty.
func Unsupported(b Backend, op Op, why string) error {
	if why != "" {
		why = " (" + why + ")"
	}
	return fmt.Errorf("%s: %s%s: %w", b.Name(), op.Name(), why, errors.ErrUnsupported)
}
