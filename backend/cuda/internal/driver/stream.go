package driver

import (
	"math"
	"time"
)

// StreamCreate creates a stream in the current context.
func (d *Driver) StreamCreate(flags StreamFlags) (Stream, error) {
	s, err := d.handle(cuStreamCreate, uintptr(flags))
	return Stream(s), err
}

// StreamDestroy destroys the stream. Work that is queued on it still runs.
func (d *Driver) StreamDestroy(s Stream) error { return d.simple(cuStreamDestroy, uintptr(s)) }

// StreamSynchronize waits for all work of the stream.
func (d *Driver) StreamSynchronize(s Stream) error {
	err := d.simple(cuStreamSynchronize, uintptr(s))
	if err == nil {
		d.launches.forgetStream(s)
	}
	return err
}

// StreamWaitEvent makes later work of s wait for the work that e recorded.
func (d *Driver) StreamWaitEvent(s Stream, e Event) error {
	return d.simple(cuStreamWaitEvent, uintptr(s), uintptr(e), 0)
}

// StreamQuery reports whether all work of the stream has ended.
func (d *Driver) StreamQuery(s Stream) (bool, error) { return d.query(cuStreamQuery, uintptr(s)) }

// EventCreate creates an event in the current context.
func (d *Driver) EventCreate(flags EventFlags) (Event, error) {
	e, err := d.handle(cuEventCreate, uintptr(flags))
	return Event(e), err
}

// EventDestroy destroys the event.
func (d *Driver) EventDestroy(e Event) error { return d.simple(cuEventDestroy, uintptr(e)) }

// EventRecord makes e record the work queued on s so far.
func (d *Driver) EventRecord(e Event, s Stream) error {
	return d.simple(cuEventRecord, uintptr(e), uintptr(s))
}

// EventQuery reports whether the work that e recorded has ended.
func (d *Driver) EventQuery(e Event) (bool, error) { return d.query(cuEventQuery, uintptr(e)) }

// EventSynchronize waits for the work that e recorded.
func (d *Driver) EventSynchronize(e Event) error {
	return d.simple(cuEventSynchronize, uintptr(e))
}

// EventElapsedTime returns the time between two events. Both must have been
// created with EventTiming and have passed.
func (d *Driver) EventElapsedTime(start, end Event) (time.Duration, error) {
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuEventElapsedTime, b.out(0), uintptr(start), uintptr(end)); err != nil {
		return 0, err
	}
	ms := math.Float32frombits(uint32(b.result[0]))
	return time.Duration(float64(ms) * float64(time.Millisecond)), nil
}
