package driver

import (
	"fmt"
	"unsafe"
)

// MemGetInfo returns the free and the total memory of the current context's
// device in bytes.
func (d *Driver) MemGetInfo() (free, total int, err error) {
	b := d.block()
	err = d.call(b, cuMemGetInfo, b.out(0), b.out(1))
	free, total = int(b.result[0]), int(b.result[1])
	d.done(b)
	return free, total, err
}

// MemAlloc allocates n bytes of device memory, aligned to 256 bytes.
func (d *Driver) MemAlloc(n int) (Ptr, error) {
	p, err := d.handle(cuMemAlloc, uintptr(n))
	if err != nil {
		return 0, detail(err, fmt.Sprintf("%d bytes", n))
	}
	return Ptr(p), nil
}

// MemFree frees memory that MemAlloc returned. It waits for the device.
func (d *Driver) MemFree(p Ptr) error { return d.simple(cuMemFree, uintptr(p)) }

// MemHostAlloc allocates n bytes of pinned host memory, which asynchronous
// copies need. The memory is outside of the Go heap and must be freed with
// MemFreeHost.
func (d *Driver) MemHostAlloc(n int, flags HostFlags) ([]byte, error) {
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuMemHostAlloc, b.memory(), uintptr(n), uintptr(flags)); err != nil {
		return nil, detail(err, fmt.Sprintf("%d bytes", n))
	}
	return unsafe.Slice(b.host, n), nil
}

// MemFreeHost frees mem, which must be all of a result of MemHostAlloc.
func (d *Driver) MemFreeHost(mem []byte) error {
	b := d.block()
	defer d.done(b)
	return d.call(b, cuMemFreeHost, b.bytes(mem))
}

// MemcpyHtoDAsync copies src to the device, in order with the work of s. src
// must be pinned memory of MemHostAlloc and must not change until s has passed
// the copy.
func (d *Driver) MemcpyHtoDAsync(dst Ptr, src []byte, s Stream) error {
	b := d.block()
	err := d.call(b, cuMemcpyHtoDAsync, uintptr(dst), b.bytes(src), uintptr(len(src)), uintptr(s))
	d.done(b)
	if err != nil {
		return detail(err, fmt.Sprintf("%d bytes to %#x", len(src), dst))
	}
	return nil
}

// MemcpyDtoHAsync copies from the device to dst, in order with the work of s.
// dst must be pinned memory of MemHostAlloc, and has the data when s has passed
// the copy.
func (d *Driver) MemcpyDtoHAsync(dst []byte, src Ptr, s Stream) error {
	b := d.block()
	err := d.call(b, cuMemcpyDtoHAsync, b.bytes(dst), uintptr(src), uintptr(len(dst)), uintptr(s))
	d.done(b)
	if err != nil {
		return detail(err, fmt.Sprintf("%d bytes from %#x", len(dst), src))
	}
	return nil
}

// MemcpyDtoDAsync copies n bytes within the device, in order with the work of
// s. The ranges must not overlap.
func (d *Driver) MemcpyDtoDAsync(dst, src Ptr, n int, s Stream) error {
	err := d.simple(cuMemcpyDtoDAsync, uintptr(dst), uintptr(src), uintptr(n), uintptr(s))
	if err != nil {
		return detail(err, fmt.Sprintf("%d bytes from %#x to %#x", n, src, dst))
	}
	return nil
}

// MemsetD8Async sets n bytes on the device to value, in order with the work of
// s.
func (d *Driver) MemsetD8Async(dst Ptr, value byte, n int, s Stream) error {
	err := d.simple(cuMemsetD8Async, uintptr(dst), uintptr(value), uintptr(n), uintptr(s))
	if err != nil {
		return detail(err, fmt.Sprintf("%d bytes at %#x", n, dst))
	}
	return nil
}
