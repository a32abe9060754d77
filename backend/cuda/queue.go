package cuda

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
)

// newQueue returns a queue of d without a stream; see start.
func newQueue(d *device) *CUDA {
	b := &CUDA{device: d, free: map[int][]block{}}
	b.visit = func(v *backend.View, _ backend.Access) { b.touch(b.own(b.op, v.Buf)) }
	d.queues = append(d.queues, b)
	return b
}

// start creates the queue's stream. The context must be current.
func (b *CUDA) start() (err error) {
	if b.stream, err = b.driver.StreamCreate(driver.StreamNonBlocking); err != nil {
		return err
	}
	if b.bad, err = b.alloc(backend.Other, 4); err != nil {
		return err
	}
	return b.driver.MemsetD8Async(b.bad.ptr, 0, 4, b.stream)
}

// NewQueue implements backend.Queuer. A queue is a stream with its own staging
// memory. Freed blocks go to the queue that allocated them.
func (b *CUDA) NewQueue() (backend.Backend, error) {
	pin, err := b.pin()
	if err != nil {
		return nil, err
	}
	q := newQueue(b.device)
	if err := b.unpin(pin, q.start()); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

// end waits for the queue's work, returns its errors, and frees the queue's
// resources. Its freed blocks go to the first queue.
func (b *CUDA) end() error {
	var err error
	if b.stream != 0 && b.dead == nil {
		var pin driver.Pin
		if pin, err = b.pin(); err == nil {
			if err = b.driver.StreamSynchronize(b.stream); err == nil {
				err = b.asynchronous()
			}
			err = b.unpin(pin, errors.Join(err, b.staging.free(b.driver), b.driver.StreamDestroy(b.stream)))
		}
	}
	b.closed = true
	if b.bad != nil {
		b.Free(b.bad)
	}
	if first := b.queues[0]; first != b {
		for size, list := range b.free {
			first.free[size] = append(first.free[size], list...)
		}
	}
	b.free = nil
	return err
}

// own returns buf as a buffer. It panics if buf belongs to another device or
// was freed, since using its address would make the device unusable.
func (b *CUDA) own(call string, buf backend.Buffer) *buffer {
	f, ok := buf.(*buffer)
	if !ok || f.home.device != b.device {
		panic(fmt.Errorf("%s: %s: the buffer belongs to another device", b.name, call))
	}
	if f.ptr == 0 {
		panic(fmt.Errorf("%s: %s: the buffer was freed", b.name, call))
	}
	return f
}

// touch records that work on buf is queued on b.
func (b *CUDA) touch(buf *buffer) {
	if buf.home != b && !slices.Contains(buf.others, b) {
		buf.others = append(buf.others, b)
	}
}

// event implements backend.Event.
type event struct {
	*device
	handle driver.Event // 0 after Free
}

// NewEvent implements backend.Eventer.
func (b *CUDA) NewEvent() (backend.Event, error) {
	pin, err := b.pin()
	if err != nil {
		return nil, err
	}
	handle, err := b.events.record(b.driver, b.stream)
	if err := b.unpin(pin, err); err != nil {
		return nil, err
	}
	return &event{b.device, handle}, nil
}

// Wait implements backend.Eventer.
func (b *CUDA) Wait(e backend.Event) error {
	own, ok := e.(*event)
	if !ok || own.device != b.device {
		return e.Sync()
	}
	handle := own.live("Wait")
	pin, err := b.pin()
	if err != nil {
		return err
	}
	return b.unpin(pin, b.driver.StreamWaitEvent(b.stream, handle))
}

// Done implements backend.Event.
func (e *event) Done() (done bool, err error) {
	handle := e.live("Done")
	pin, err := e.pin()
	if err != nil {
		return false, err
	}
	done, err = e.driver.EventQuery(handle)
	return done, e.unpin(pin, err)
}

// Sync implements backend.Event. It does not report indices out of range; Sync
// and Download of the queue do.
func (e *event) Sync() error {
	handle := e.live("Sync")
	pin, err := e.pin()
	if err != nil {
		return err
	}
	return e.unpin(pin, e.driver.EventSynchronize(handle))
}

// Free implements backend.Event.
func (e *event) Free() {
	e.events.put(e.live("Free"))
	e.handle = 0
}

func (e *event) live(call string) driver.Event {
	if e.handle == 0 {
		panic("cuda: " + call + ": the event was freed")
	}
	return e.handle
}

// events are the events of a device. They are created when needed and reused.
type events struct {
	all, idle []driver.Event
}

// record returns an event that has passed when the work queued on s so far has
// ended.
func (p *events) record(d *driver.Driver, s driver.Stream) (driver.Event, error) {
	if len(p.idle) == 0 {
		e, err := d.EventCreate(driver.EventDisableTiming)
		if err != nil {
			return 0, err
		}
		p.all, p.idle = append(p.all, e), append(p.idle, e)
	}
	last := len(p.idle) - 1
	e := p.idle[last]
	if err := d.EventRecord(e, s); err != nil {
		return 0, err
	}
	p.idle = p.idle[:last]
	return e, nil
}

// put returns events for reuse. Streams that wait for one still wait for the
// work that it recorded before.
func (p *events) put(list ...driver.Event) { p.idle = append(p.idle, list...) }

func (p *events) destroy(d *driver.Driver) error {
	var errs []error
	for _, e := range p.all {
		errs = append(errs, d.EventDestroy(e))
	}
	p.all, p.idle = nil, nil
	return errors.Join(errs...)
}
