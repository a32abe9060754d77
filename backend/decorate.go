package backend

// Decorator is a Backend that forwards every call to the backend that it wraps, including
// the methods of the optional interfaces (HolderAllocator, Packer, Pather, Supporter,
// Eventer). Embed it to write a decorator. A type that embeds the Backend interface
// instead hides the optional interfaces: it loses packed weights, the kernel path and the
// counts of memory by holder. Tensors, caches and optimizers allocate with AllocFor, so a
// type that overrides Alloc must override AllocFor too.
//
// Queuer and Capturer are not forwarded, since ops would bypass the decorator: programs
// of a decorated backend run their ops one by one, and NewQueue returns the decorated
// backend itself.
//
//	type counter struct {
//		backend.Decorator
//		ops int
//	}
//
//	func (c *counter) Do(op backend.Op) error {
//		c.ops++
//		return c.Backend.Do(op)
//	}
type Decorator struct{ Backend }

// Unwrap returns the wrapped backend; see As.
func (d Decorator) Unwrap() Backend { return d.Backend }

// AllocFor implements HolderAllocator. It calls Alloc if the wrapped backend does not
// count memory by holder.
func (d Decorator) AllocFor(h Holder, bytes int) (Buffer, error) {
	return AllocFor(d.Backend, h, bytes)
}

// PackedLen implements Packer. It returns 0 elements if the wrapped backend does not
// pack.
func (d Decorator) PackedLen(format Format, dt DType, k, n int) (DType, int) {
	if p, ok := d.Backend.(Packer); ok {
		return p.PackedLen(format, dt, k, n)
	}
	return dt, 0
}

// Path implements Pather.
func (d Decorator) Path() string { return Path(d.Backend) }

// Supports implements Supporter.
func (d Decorator) Supports(op string, dt DType) bool { return Supports(d.Backend, op, dt) }

// NewEvent implements Eventer.
func (d Decorator) NewEvent() (Event, error) { return NewEvent(d.Backend) }

// Wait implements Eventer.
func (d Decorator) Wait(e Event) error { return Wait(d.Backend, e) }

// As returns the first backend of type T in the chain of b and the backends that it
// wraps, in the manner of errors.As; ok is false if there is none. The chain continues
// where a backend has a method Unwrap() Backend.
//
// Pass buffers and ops to b, not to t: a decorator may have buffers of its own.
func As[T any](b Backend) (t T, ok bool) {
	for {
		if t, ok = b.(T); ok {
			return t, true
		}
		u, wraps := b.(interface{ Unwrap() Backend })
		if !wraps {
			return t, false
		}
		b = u.Unwrap()
	}
}
