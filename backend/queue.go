package backend

// Queuer is a backend whose device works on several queues at the same time, such
// as copies beside products. Decorators that forwarded it would lose the ops of the
// new queue; see NewQueue.
type Queuer interface {
	// NewQueue returns another in-order queue of the same device. Buffers of one
	// queue are valid on all.
	NewQueue() (Backend, error)
}

// Eventer is a backend that orders the work of its device's queues by events.
type Eventer interface {
	// NewEvent returns an event that is done when all work queued so far has ended.
	NewEvent() (Event, error)
	// Wait holds back the work queued from now on until e is done. It does not
	// stop the caller, unless e is of another device.
	Wait(e Event) error
}

// Event is a point in the work of one queue.
type Event interface {
	// Done reports whether the work before the event has ended. It does not wait,
	// except on a backend that is no Eventer.
	Done() (bool, error)
	// Sync waits for the work before the event.
	Sync() error
	// Free gives the event back. Work that waits for it still does.
	Free()
}

// NewQueue returns another queue of b's device, for work that may run beside b's
// own: its uploads and downloads do not wait for b's ops, nor the other way round.
// Where b has but one queue, as the CPU, a decorator and every backend that is no
// Queuer, it is b itself, without its Close: the results are the same, and all
// work passes through b.
//
// Queues are ordered by events alone. A buffer is used first on the queue that
// allocated it. Another queue uses it after an event:
//
//	copies, err := backend.NewQueue(b)
//	...
//	err = copies.Upload(x, 0, mem)
//	uploaded, err := backend.NewEvent(copies)
//	...
//	err = backend.Wait(b, uploaded) // ops queued on b from here on find x uploaded
//	uploaded.Free()
//
// Any queue frees it: work that was queued on it before, on whichever queue, still
// completes. All queues of a device together are used by one goroutine at a time.
// Closing one waits for its work; closing the backend that Open returned closes
// all of them.
func NewQueue(b Backend) (Backend, error) {
	if q, ok := b.(Queuer); ok {
		return q.NewQueue()
	}
	return sameQueue{Decorator{b}}, nil
}

// NewEvent returns an event that is done when all work queued on b so far has
// ended. Free it.
func NewEvent(b Backend) (Event, error) {
	if q, ok := b.(Eventer); ok {
		return q.NewEvent()
	}
	return syncEvent{b}, nil
}

// Wait holds back what is queued on b from now on until e is done. Where b cannot
// do so itself, or e is of another device, the caller waits.
func Wait(b Backend, e Event) error {
	if q, ok := b.(Eventer); ok {
		return q.Wait(e)
	}
	return e.Sync()
}

// sameQueue is the backend inside by another name.
type sameQueue struct{ Decorator }

// Close leaves the backend inside open.
func (sameQueue) Close() error { return nil }

// syncEvent is an event of a backend that has none: it waits for all work.
type syncEvent struct{ b Backend }

func (e syncEvent) Done() (bool, error) { return true, e.b.Sync() }
func (e syncEvent) Sync() error         { return e.b.Sync() }
func (e syncEvent) Free()               {}
