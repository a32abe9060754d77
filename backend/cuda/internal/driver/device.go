package driver

import (
	"bytes"
	"fmt"
	"runtime"
)

// DeviceGetCount returns the number of devices.
func (d *Driver) DeviceGetCount() (int, error) {
	b := d.block()
	defer d.done(b)
	err := d.call(b, cuDeviceGetCount, b.out(0))
	return b.int(0), err
}

// DeviceGet returns the device with the given index, counted from 0.
func (d *Driver) DeviceGet(index int) (Device, error) {
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuDeviceGet, b.out(0), uintptr(index)); err != nil {
		return 0, detail(err, fmt.Sprintf("device %d", index))
	}
	return Device(b.int(0)), nil
}

// DeviceGetName returns the device's name, such as "NVIDIA H100 80GB HBM3".
func (d *Driver) DeviceGetName(dev Device) (string, error) {
	b := d.block()
	defer d.done(b)
	name := make([]byte, 256)
	if err := d.call(b, cuDeviceGetName, b.bytes(name), uintptr(len(name)), uintptr(dev)); err != nil {
		return "", err
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(name), nil
}

// DeviceGetAttribute returns a number that describes the device. Clock rates are
// in kHz, the bus width in bits, memory sizes in bytes.
func (d *Driver) DeviceGetAttribute(a DeviceAttribute, dev Device) (int, error) {
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuDeviceGetAttribute, b.out(0), uintptr(a), uintptr(dev)); err != nil {
		return 0, detail(err, fmt.Sprintf("attribute %d", a))
	}
	return b.int(0), nil
}

// DeviceTotalMem returns the device's memory in bytes.
func (d *Driver) DeviceTotalMem(dev Device) (int, error) {
	n, err := d.handle(cuDeviceTotalMem, uintptr(dev))
	return int(n), err
}

// DevicePrimaryCtxRetain returns the device's primary context, which all
// libraries of the process share, and creates it if necessary. Each call must
// be matched by one of DevicePrimaryCtxRelease. Pin makes the context current.
func (d *Driver) DevicePrimaryCtxRetain(dev Device) (Context, error) {
	ctx, err := d.handle(cuDevicePrimaryCtxRetain, uintptr(dev))
	return Context(ctx), err
}

// DevicePrimaryCtxRelease releases the primary context.
func (d *Driver) DevicePrimaryCtxRelease(dev Device) error {
	return d.simple(cuDevicePrimaryCtxRelease, uintptr(dev))
}

// CtxSetCurrent makes ctx current on the calling thread.
func (d *Driver) CtxSetCurrent(ctx Context) error { return d.simple(cuCtxSetCurrent, uintptr(ctx)) }

// CtxGetCurrent returns the current context of the calling thread, or 0 if
// there is none.
func (d *Driver) CtxGetCurrent() (Context, error) {
	b := d.block()
	err := d.call(b, cuCtxGetCurrent, b.out(0))
	ctx := Context(b.result[0])
	d.done(b)
	return ctx, err
}

// CtxSynchronize waits for all work of the current context.
func (d *Driver) CtxSynchronize() error {
	err := d.simple(cuCtxSynchronize)
	if err == nil {
		d.launches.forget()
	}
	return err
}

// Pin is a goroutine locked to its thread with a context current there.
type Pin struct {
	d             *Driver
	ctx, previous Context
}

// Pin locks the calling goroutine to its thread and makes ctx current there,
// for a whole step of work. The same goroutine must call Release. Pins may be
// nested, with the same or different contexts. If Pin returns an error, it has
// locked nothing.
func (d *Driver) Pin(ctx Context) (Pin, error) {
	runtime.LockOSThread()
	previous, err := d.CtxGetCurrent()
	if err == nil && previous != ctx {
		err = d.CtxSetCurrent(ctx)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return Pin{}, err
	}
	return Pin{d, ctx, previous}, nil
}

// Release makes the previous context current again and unlocks the goroutine.
func (p Pin) Release() error {
	defer runtime.UnlockOSThread()
	if p.previous == p.ctx {
		return nil
	}
	return p.d.CtxSetCurrent(p.previous)
}
