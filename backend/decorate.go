package backend

// Decorator is what decorators embed: a Backend that hands every call to the
// one inside, those of the optional interfaces (HolderAllocator, Packer, Pather,
// Supporter, Eventer) included. A type that embeds Backend itself hides them, and
// with them packed weights, the kernel path and what memory is for. Tensors, caches
// and optimizers allocate by AllocFor: who overrides Alloc overrides both.
//
// Queuer and Capturer are not forwarded, since ops would pass the decorator by: its
// programs loop over their ops, and its queues are itself (see NewQueue).
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

// Unwrap is the backend inside; see As.
func (d Decorator) Unwrap() Backend { return d.Backend }

// AllocFor implements HolderAllocator: it is Alloc where the backend inside does
// not count by holder.
func (d Decorator) AllocFor(h Holder, bytes int) (Buffer, error) {
	return AllocFor(d.Backend, h, bytes)
}

// PackedLen implements Packer: it is 0 where the backend inside does not pack,
// which is how Packer itself says "not packed".
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

// As is the first backend of type T among b and those that it decorates, in the
// manner of errors.As; ok is false if there is none. A chain goes on where a
// backend has a method Unwrap() Backend.
//
// Buffers and ops still go to b: a decorator may have buffers of its own.
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
