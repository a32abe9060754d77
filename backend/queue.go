package backend

// Queuer is a backend whose device runs several queues at the same time, such as copies
// beside products. Decorators do not forward it, since ops on the new queue would bypass
// them; see NewQueue.
type Queuer interface {
	// NewQueue returns another in-order queue of the same device. Buffers of one queue
	// are valid on all.
	NewQueue() (Backend, error)
}

// Eventer is a backend that can order the work of its device's queues by events.
type Eventer interface {
	// NewEvent returns an event that is done when all work queued so far has ended.
	NewEvent() (Event, error)
	// Wait makes the work queued from now on wait until e is done. It does not block the
	// caller, unless e belongs to another device.
	Wait(e Event) error
}

// Event marks a point in the work of one queue.
type Event interface {
	// Done reports whether the work before the event has ended. It does not block, unless
	// the backend is not an Eventer.
	Done() (bool, error)
	// Sync waits for the work before the event.
	Sync() error
	// Free releases the event. Work that waits for it still does.
	Free()
}

// NewQueue returns another queue of b's device, for work that may run at the same time as
// b's: its uploads and downloads do not wait for b's ops, nor the other way round. If b
// is not a Queuer, as the CPU and all decorators, NewQueue returns b itself with a Close
// that does nothing: the results are the same, and all work passes through b.
//
// Only events order the work of different queues. A buffer is first used on the queue
// that allocated it. Another queue may use it after an event:
//
//	copies, err := backend.NewQueue(b)
//	...
//	err = copies.Upload(x, 0, mem)
//	uploaded, err := backend.NewEvent(copies)
//	...
//	err = backend.Wait(b, uploaded) // ops queued on b after this run after the upload
//	uploaded.Free()
//
// Any queue may free the buffer: work that was queued on it before, on whichever queue,
// still completes. All queues of a device must be used by one goroutine at a time.
// Closing a queue waits for its work; closing the backend that Open returned closes all
// of them.
func NewQueue(b Backend) (Backend, error) {
	if q, ok := b.(Queuer); ok {
		return q.NewQueue()
	}
	return sameQueue{Decorator{b}}, nil
}

// NewEvent returns an event that is done when all work queued on b so far has ended. The
// caller must free it.
func NewEvent(b Backend) (Event, error) {
	if q, ok := b.(Eventer); ok {
		return q.NewEvent()
	}
	return syncEvent{b}, nil
}

// Wait makes the work queued on b from now on wait until e is done. If b cannot do so, or
// e belongs to another device, it blocks the caller instead.
func Wait(b Backend, e Event) error {
	if q, ok := b.(Eventer); ok {
		return q.Wait(e)
	}
	return e.Sync()
}

// sameQueue is the second queue of a backend that has only one: the backend itself.
type sameQueue struct{ Decorator }

// Close leaves the wrapped backend open.
func (sameQueue) Close() error { return nil }

// syncEvent is an event of a backend that is not an Eventer: it waits for all work.
type syncEvent struct{ b Backend }

func (e syncEvent) Done() (bool, error) { return true, e.b.Sync() }
func (e syncEvent) Sync() error         { return e.b.Sync() }
func (e syncEvent) Free()               {}
