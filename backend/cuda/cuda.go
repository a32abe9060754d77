package cuda

import (
	"errors"
	"fmt"

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

// CUDA is one device: a compute stream on which ops run in order.
type CUDA struct {
	name    string
	driver  *driver.Driver
	device  driver.Device
	context driver.Context
	stream  driver.Stream
	units   int // multiprocessors

	memory  memory
	staging staging
	kernels kernels
	blas    *blas   // nil without Options.CuBLASLt
	bad     *buffer // [1] I32: an index that an op found out of range, plus 1 if it is not negative
	dead    error   // the sticky error that ended the device
}

// New opens the device with the given index, counted from 0. The error lists the
// libraries that are missing, and every place they were looked for. The name "cuda:1"
// of backend.Open is New(1, Options{}).
func New(index int, o Options) (*CUDA, error) {
	d, err1 := driver.Open()
	c, err2 := nvrtc.Open()
	blas, err3 := o.blas()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	b := &CUDA{name: fmt.Sprintf("cuda:%d", index), driver: d, blas: blas}
	if err := b.open(index, c); err != nil {
		b.Close()
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return b, nil
}

func (b *CUDA) open(index int, c *nvrtc.Compiler) error {
	n, err := b.driver.DeviceGetCount()
	if err != nil {
		return err
	}
	if index >= n {
		return fmt.Errorf("there are %d devices", n)
	}
	if b.device, err = b.driver.DeviceGet(index); err != nil {
		return err
	}
	if b.context, err = b.driver.DevicePrimaryCtxRetain(b.device); err != nil {
		return err
	}
	return b.pinned(func() error {
		attribute := func(a driver.DeviceAttribute) int {
			v, e := b.driver.DeviceGetAttribute(a, b.device)
			err = errors.Join(err, e)
			return v
		}
		major, minor := attribute(driver.ComputeCapabilityMajor), attribute(driver.ComputeCapabilityMinor)
		b.units = max(attribute(driver.MultiprocessorCount), 1)
		if err != nil {
			return err
		}
		if b.stream, err = b.driver.StreamCreate(driver.StreamNonBlocking); err != nil {
			return err
		}
		b.kernels = kernels{
			driver: b.driver, compiler: c, arch: fmt.Sprintf("sm_%d%d", major, minor),
			modules: map[string]driver.Module{}, loaded: map[string]*driver.Function{}, failed: map[string]error{},
		}
		b.memory.driver, b.memory.held = b.driver, map[backend.Holder]int{}
		if err := b.blas.open(); err != nil {
			return err
		}
		if b.bad, err = b.alloc(backend.Other, 4); err != nil {
			return err
		}
		return b.driver.MemsetD8Async(b.bad.ptr, 0, 4, b.stream)
	})
}

// pinned runs fn on a thread where the device's context is current.
func (b *CUDA) pinned(fn func() error) error {
	if b.dead != nil {
		return b.dead
	}
	pin, err := b.driver.Pin(b.context)
	if err != nil {
		return b.fail(err)
	}
	err = fn()
	return b.fail(errors.Join(err, pin.Release()))
}

// fail keeps a sticky error: the device answers nothing else from then on.
func (b *CUDA) fail(err error) error {
	if err != nil && errors.Is(err, driver.ErrSticky) && b.dead == nil {
		b.dead = fmt.Errorf("%s: the device failed and must be opened again in a new process: %w", b.name, err)
		return b.dead
	}
	return err
}

// Name is "cuda:" and the device's index.
func (b *CUDA) Name() string { return b.name }

// Sync waits for all queued work.
func (b *CUDA) Sync() error {
	return b.pinned(func() error {
		if err := b.driver.StreamSynchronize(b.stream); err != nil {
			return err
		}
		return b.indexes()
	})
}

// indexes is an error if an op found an index out of range since the last call. The
// stream is idle.
func (b *CUDA) indexes() error {
	if !b.kernels.indexed {
		return nil
	}
	b.kernels.indexed = false
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
		return fmt.Errorf("%s: an op since the last Sync met index %d, which is out of range", b.name, v)
	}
	return nil
}

// MemInfo is the device's memory and what is left of it, in bytes.
func (b *CUDA) MemInfo() (total, free int) {
	err := b.pinned(func() (err error) {
		free, total, err = b.driver.MemGetInfo()
		return err
	})
	if err != nil {
		return 0, 0
	}
	return total, free + b.memory.cached
}

// Close waits for queued work and gives everything back.
func (b *CUDA) Close() error {
	if b.context == 0 {
		return nil
	}
	var err error
	if b.dead == nil {
		err = b.pinned(func() error {
			var errs []error
			if b.stream != 0 {
				errs = append(errs, b.driver.StreamSynchronize(b.stream))
			}
			errs = append(errs, b.blas.close(), b.kernels.unload(), b.staging.free(b.driver), b.memory.release())
			if b.stream != 0 {
				errs = append(errs, b.driver.StreamDestroy(b.stream))
			}
			return errors.Join(errs...)
		})
	}
	err = errors.Join(err, b.driver.DevicePrimaryCtxRelease(b.device))
	b.context = 0
	return err
}
