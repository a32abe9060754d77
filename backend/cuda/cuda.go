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

// device is what the queues of one device share.
type device struct {
	name    string
	driver  *driver.Driver
	handle  driver.Device
	context driver.Context
	units   int  // multiprocessors
	debug   bool // wait for every launch

	memory  memory
	kernels kernels
	blas    *blas // nil without Options.CuBLASLt
	events  events
	queues  []*CUDA // that are open, the one of New first
	dead    error   // the sticky error that ended the device
	late    error   // of Free, for the next Sync or Download of any queue
}

// CUDA is one queue of a device: a stream on which ops run in order.
type CUDA struct {
	*device
	stream  driver.Stream
	staging staging
	free    map[int][]block // freed blocks for the next Alloc, by size in bytes
	bad     *buffer         // [1] I32: an index or step that an op found out of range, plus 1 if not negative
	indexed bool            // an op that checks indices was launched
	closed  bool

	op    string                              // the name of the op at hand
	visit func(*backend.View, backend.Access) // own and touch, for Op.Operands
}

// New opens the device with the given index, counted from 0. The error lists the
// libraries that are missing, and every place they were looked for. The name "cuda:1"
// of backend.Open is New(1, Options{}).
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
		return fmt.Errorf("there are %d devices", n)
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

// prepare reads the device's attributes and makes the first queue. The context is
// current.
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

// pin ties the goroutine to a thread where the device's context is current, for calls
// of the driver. unpin ends it.
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

// unpin ends a pin. It returns err, the error of the calls in between, joined with its
// own.
func (d *device) unpin(p driver.Pin, err error) error {
	if e := p.Release(); e != nil {
		err = errors.Join(err, e)
	}
	return d.fail(err)
}

// fail keeps a sticky error: the device, with all its queues, answers nothing else
// from then on.
func (d *device) fail(err error) error {
	if err != nil && errors.Is(err, driver.ErrSticky) && d.dead == nil {
		d.dead = fmt.Errorf("%s: the device failed and must be opened again in a new process: %w", d.name, err)
		return d.dead
	}
	return err
}

// pin is device.pin on a queue that is open.
func (b *CUDA) pin() (driver.Pin, error) {
	if b.closed {
		return driver.Pin{}, fmt.Errorf("%s: the queue is closed", b.name)
	}
	return b.device.pin()
}

// Name is "cuda:" and the device's index.
func (b *CUDA) Name() string { return b.name }

// Sync waits for all work of this queue.
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

// asynchronous is the error of a Free that failed, or of an op of this queue that found
// an index or a step of AdamW out of range, since the last call. The stream is idle.
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
		return fmt.Errorf("%s: an op since the last Sync met index %d, which is out of range (for AdamW: a step below 1)",
			b.name, v)
	}
	return nil
}

// MemInfo is the device's memory and what is left of it, in bytes.
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

// Close waits for the queue's work, reports its errors as Sync does, and gives back what
// the queue holds. Buffers that it allocated stay valid on the others. On the backend that New returned, it closes all
// queues and the device.
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
