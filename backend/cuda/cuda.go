package cuda

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
	"github.com/aha-go/aha/backend/cuda/internal/nvrtc"
)

func init() {
	backend.Register("cuda", func(device string) (backend.Backend, error) {
		index, o, err := parseDevice(device)
		if err != nil {
			return nil, err
		}
		return New(index, o)
	})
}

// device is the state that all queues of one device share.
type device struct {
	name    string
	driver  *driver.Driver
	handle  driver.Device
	context driver.Context
	units   int  // number of multiprocessors
	debug   bool // wait for every launch

	memory  memory
	kernels kernels
	blas    *blas // nil unless Options.CuBLASLt is set
	events  events
	queues  []*CUDA // open queues, starting with that of New
	dead    error   // the sticky error after which the device is unusable
	late    error   // errors of Free, which the next Sync or Download of any queue returns
}

// CUDA is one queue of a device: a stream on which ops run in order.
type CUDA struct {
	*device
	stream  driver.Stream
	staging staging
	free    map[int][]block // freed blocks by size, for the next Alloc
	bad     *buffer         // [1] I32: an index or step out of range, plus 1 if not negative; 0 if none
	indexed bool            // an op that checks indices was launched since the last check
	closed  bool

	op    string                              // name of the op in progress
	visit func(*backend.View, backend.Access) // calls own and touch; passed to Op.Operands
}

// New opens the device with the given index, counted from 0; New(1, Options{})
// is backend.Open("cuda:1"). If libraries are missing, the error lists them and
// every place that was searched.
func New(index int, o Options) (*CUDA, error) {
	debug, err := debugging()
	if err != nil {
		return nil, err
	}
	d, err1 := driver.Open()
	c, err2 := nvrtc.Open()
	blas, err3 := o.blas()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	b := newQueue(&device{name: fmt.Sprintf("cuda:%d", index), driver: d, blas: blas, debug: debug})
	if err := b.open(index, c); err != nil {
		b.Close()
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return b, nil
}

func (d *device) open(index int, c *nvrtc.Compiler) error {
	n, err := d.driver.DeviceGetCount()
	if err != nil {
		return err
	}
	if index >= n {
		return fmt.Errorf("no such device: there are %d", n)
	}
	if d.handle, err = d.driver.DeviceGet(index); err != nil {
		return err
	}
	if d.context, err = d.driver.DevicePrimaryCtxRetain(d.handle); err != nil {
		return err
	}
	pin, err := d.pin()
	if err != nil {
		return err
	}
	return d.unpin(pin, d.prepare(c))
}

// prepare reads the device's attributes and creates the first queue. The
// context must be current.
func (d *device) prepare(c *nvrtc.Compiler) (err error) {
	attribute := func(a driver.DeviceAttribute) int {
		v, e := d.driver.DeviceGetAttribute(a, d.handle)
		err = errors.Join(err, e)
		return v
	}
	major, minor := attribute(driver.ComputeCapabilityMajor), attribute(driver.ComputeCapabilityMinor)
	d.units = max(attribute(driver.MultiprocessorCount), 1)
	if err != nil {
		return err
	}
	if major < 8 {
		return fmt.Errorf("the device has compute capability %d.%d, the kernels need 8.0 (Ampere) or newer", major, minor)
	}
	d.kernels = kernels{
		driver: d.driver, compiler: c, arch: fmt.Sprintf("sm_%d%d", major, minor),
		modules: map[string]driver.Module{}, loaded: map[string]*driver.Function{}, failed: map[string]error{},
	}
	d.memory = memory{blocks: map[driver.Ptr]int{}, held: map[backend.Holder]int{}}
	if err := d.blas.open(); err != nil {
		return err
	}
	return d.queues[0].start()
}

// pin locks the goroutine to its thread and makes the device's context current
// there, for calls of the driver. unpin ends it.
func (d *device) pin() (driver.Pin, error) {
	if d.dead != nil {
		return driver.Pin{}, d.dead
	}
	if d.context == 0 {
		return driver.Pin{}, fmt.Errorf("%s: the device is closed", d.name)
	}
	pin, err := d.driver.Pin(d.context)
	return pin, d.fail(err)
}

// unpin ends a pin. It returns err, the error of the calls in between, joined
// with its own error.
func (d *device) unpin(p driver.Pin, err error) error {
	if e := p.Release(); e != nil {
		err = errors.Join(err, e)
	}
	return d.fail(err)
}

// fail records err if it is sticky. From then on all queues of the device
// return only this error.
func (d *device) fail(err error) error {
	if err != nil && errors.Is(err, driver.ErrSticky) && d.dead == nil {
		d.dead = fmt.Errorf("%s: the device failed and must be opened again in a new process: %w", d.name, err)
		return d.dead
	}
	return err
}

// pin is device.pin for an open queue.
func (b *CUDA) pin() (driver.Pin, error) {
	if b.closed {
		return driver.Pin{}, fmt.Errorf("%s: the queue is closed", b.name)
	}
	return b.device.pin()
}

// Name returns "cuda:" and the device's index.
func (b *CUDA) Name() string { return b.name }

// Sync waits for all work of this queue and returns its errors.
func (b *CUDA) Sync() error {
	pin, err := b.pin()
	if err != nil {
		return err
	}
	if err = b.driver.StreamSynchronize(b.stream); err == nil {
		err = b.asynchronous()
	}
	return b.unpin(pin, err)
}

// asynchronous returns the errors since the last call: of Free, and of an op of
// this queue that has found an index, or a step of AdamW, out of range. The
// stream must be idle.
func (b *CUDA) asynchronous() error {
	if err := b.late; err != nil {
		b.late = nil
		return err
	}
	if !b.indexed {
		return nil
	}
	b.indexed = false
	var bad [4]byte
	if err := b.staging.download(b, bad[:], b.bad.ptr); err != nil {
		return err
	}
	if v := int(backend.I32.Get(bad[:], 0)); v != 0 {
		if err := b.driver.MemsetD8Async(b.bad.ptr, 0, 4, b.stream); err != nil {
			return err
		}
		if v > 0 {
			v--
		}
		return fmt.Errorf("%s: an op since the last Sync read index %d, which is out of range (for AdamW: a step below 1)",
			b.name, v)
	}
	return nil
}

// MemInfo returns the device's memory and how much of it is free, in bytes.
func (b *CUDA) MemInfo() (total, free int) {
	pin, err := b.pin()
	if err != nil {
		return 0, 0
	}
	free, total, err = b.driver.MemGetInfo()
	if b.unpin(pin, err) != nil {
		return 0, 0
	}
	return total, free + b.memory.cached
}

// Close waits for the queue's work, returns its errors like Sync, and frees the
// queue's resources. Buffers that it allocated stay valid on the other queues.
// Close of the backend that New returned closes all queues and the device.
func (b *CUDA) Close() error {
	if b.closed {
		return nil
	}
	if b != b.queues[0] {
		b.queues = slices.DeleteFunc(b.queues, func(q *CUDA) bool { return q == b })
		return b.end()
	}
	var errs []error
	for _, q := range b.queues[1:] {
		errs = append(errs, q.end())
	}
	b.queues = b.queues[:1]
	errs = append(errs, b.end())
	if b.context == 0 {
		return errors.Join(errs...)
	}
	if b.dead == nil {
		pin, err := b.device.pin()
		if err == nil {
			err = b.unpin(pin, errors.Join(b.blas.close(), b.kernels.unload(), b.events.destroy(b.driver),
				b.memory.release(b.driver)))
		}
		errs = append(errs, err)
	}
	errs = append(errs, b.driver.DevicePrimaryCtxRelease(b.handle))
	b.context = 0
	return errors.Join(errs...)
}
