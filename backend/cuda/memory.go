package cuda

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
)

// buffer is a block of device memory.
type buffer struct {
	ptr    driver.Ptr
	bytes  int
	class  int
	holder backend.Holder
	home   *CUDA   // the queue that allocated it
	others []*CUDA // other queues that have worked on it
}

func (b *buffer) Bytes() int { return b.bytes }

// block is a freed buffer's memory. Its queue uses it again while own work on it is
// queued, and waits for that of other queues.
type block struct {
	ptr    driver.Ptr
	guards []driver.Event // after the last work of other queues
}

// memory counts the blocks of a device. Freed ones are kept by the queue that
// allocated them, for its next Alloc of that size.
type memory struct {
	blocks map[driver.Ptr]int // all, with their sizes
	cached int                // bytes of freed blocks
	held   map[backend.Holder]int
}

// class is the size of the block for n bytes: a multiple of an eighth of the power of
// two at or below it, 512 at least.
func class(n int) int {
	n = max(n, 512)
	step := max(1<<(bits.Len(uint(n))-1)/8, 512)
	return (n + step - 1) / step * step
}

// Alloc is AllocFor on behalf of backend.Other.
func (b *CUDA) Alloc(bytes int) (backend.Buffer, error) { return b.AllocFor(backend.Other, bytes) }

// AllocFor returns device memory with undefined content.
func (b *CUDA) AllocFor(h backend.Holder, bytes int) (backend.Buffer, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("%s: Alloc(%d)", b.name, bytes)
	}
	pin, err := b.pin()
	if err != nil {
		return nil, err
	}
	buf, err := b.alloc(h, bytes)
	if err := b.unpin(pin, err); err != nil {
		return nil, err
	}
	return buf, nil
}

func (b *CUDA) alloc(h backend.Holder, bytes int) (*buffer, error) {
	m, size := &b.memory, class(bytes)
	buf := &buffer{bytes: bytes, class: size, holder: h, home: b}
	var err error
	if len(b.free[size]) > 0 {
		buf.ptr, err = b.reuse(size)
	} else if buf.ptr, err = b.driver.MemAlloc(size); errors.Is(err, driver.OutOfMemory) && m.cached > 0 {
		if err := b.trim(); err != nil {
			return nil, err
		}
		buf.ptr, err = b.driver.MemAlloc(size)
	}
	if err != nil {
		by := backend.Memory{By: m.held}
		return nil, fmt.Errorf("%s: %d bytes for %s; held are %v: %w", b.name, bytes, h, by.Holders(), err)
	}
	m.blocks[buf.ptr] = size
	m.held[h] += size
	return buf, nil
}

// reuse takes a freed block of that size.
func (b *CUDA) reuse(size int) (driver.Ptr, error) {
	list := b.free[size]
	last := list[len(list)-1]
	for _, e := range last.guards {
		if err := b.driver.StreamWaitEvent(b.stream, e); err != nil {
			return 0, err
		}
	}
	b.events.put(last.guards...)
	b.free[size] = list[:len(list)-1]
	b.memory.cached -= size
	return last.ptr, nil
}

// temp is memory for the launches of one op. The caller frees it when they are queued.
func (b *CUDA) temp(dt backend.DType, shape ...int) (backend.View, error) {
	v := backend.NewView(nil, dt, shape...)
	buf, err := b.alloc(backend.Other, v.Len()*dt.Size())
	if err != nil {
		return v, err
	}
	v.Buf = buf
	return v, nil
}

// Free keeps the block for another buffer of the queue that allocated it.
func (b *CUDA) Free(buf backend.Buffer) {
	f := buf.(*buffer)
	if f.ptr == 0 {
		return
	}
	b.own("Free", buf)
	k, home := block{ptr: f.ptr}, f.home
	f.ptr = 0
	b.memory.held[f.holder] -= f.class
	if home.closed {
		home = b.queues[0]
	}
	if home.closed { // the device is: all blocks are given back
		return
	}
	if len(f.others) > 0 {
		pin, err := b.device.pin()
		if err == nil {
			k.guards, err = guards(home, f.others)
			err = b.unpin(pin, err)
		}
		if err != nil { // the block is in use until Close
			b.late = errors.Join(b.late, fmt.Errorf("%s: Free: %w", b.name, err))
			return
		}
	}
	home.free[f.class] = append(home.free[f.class], k)
	b.memory.cached += f.class
}

// guards are events after the work of other queues than home.
func guards(home *CUDA, others []*CUDA) ([]driver.Event, error) {
	var list []driver.Event
	for _, q := range others {
		if q == home || q.closed { // a closed queue has ended its work
			continue
		}
		e, err := q.events.record(q.driver, q.stream)
		if err != nil {
			q.events.put(list...)
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// trim gives the free blocks of all queues back to the device.
func (b *CUDA) trim() error {
	for _, q := range b.queues {
		if err := b.driver.StreamSynchronize(q.stream); err != nil {
			return err
		}
	}
	var errs []error
	for _, q := range b.queues {
		for size, list := range q.free {
			for _, k := range list {
				errs = append(errs, b.driver.MemFree(k.ptr))
				b.events.put(k.guards...)
				delete(b.memory.blocks, k.ptr)
				b.memory.cached -= size
			}
		}
		clear(q.free)
	}
	return errors.Join(errs...)
}

// release gives all blocks back, those of buffers in use included.
func (m *memory) release(d *driver.Driver) error {
	var errs []error
	for p := range m.blocks {
		errs = append(errs, d.MemFree(p))
	}
	m.blocks, m.cached = nil, 0
	return errors.Join(errs...)
}

// window is the address of n bytes of buf from off on.
func (b *CUDA) window(call string, buf backend.Buffer, off, n int) driver.Ptr {
	f := b.own(call, buf)
	if off < 0 || n > f.bytes-off {
		panic(fmt.Errorf("%s: %s: bytes %d to %d of a buffer of %d", b.name, call, off, off+n, f.bytes))
	}
	return f.ptr + driver.Ptr(off)
}

// Upload copies src to the device in the order of the queue's ops.
func (b *CUDA) Upload(dst backend.Buffer, off int, src []byte) error {
	p := b.window("Upload", dst, off, len(src))
	if len(src) == 0 {
		return nil
	}
	b.touch(dst.(*buffer))
	pin, err := b.pin()
	if err != nil {
		return err
	}
	return b.unpin(pin, b.staging.upload(b, p, src))
}

// Download waits for the queue's work and copies from the device.
func (b *CUDA) Download(dst []byte, src backend.Buffer, off int) error {
	p := b.window("Download", src, off, len(dst))
	if len(dst) == 0 {
		return nil
	}
	b.touch(src.(*buffer))
	pin, err := b.pin()
	if err != nil {
		return err
	}
	if err = b.staging.download(b, dst, p); err == nil {
		err = b.asynchronous()
	}
	return b.unpin(pin, err)
}

// staging is pinned host memory that copies pass through.
type staging struct {
	mem  []byte
	used int // bytes of mem that queued uploads may still read
}

// stagingBytes is the size of the staging memory.
const stagingBytes = 4 << 20

// upload copies src through what is left of the staging memory, waiting for the
// stream when it is full.
func (s *staging) upload(b *CUDA, dst driver.Ptr, src []byte) error {
	for len(src) > 0 {
		if err := s.room(b); err != nil {
			return err
		}
		n := copy(s.mem[s.used:], src)
		if err := b.driver.MemcpyHtoDAsync(dst, s.mem[s.used:s.used+n], b.stream); err != nil {
			return err
		}
		s.used += (n + 63) &^ 63
		dst += driver.Ptr(n)
		src = src[n:]
	}
	return nil
}

// room makes sure that some of the staging memory is free.
func (s *staging) room(b *CUDA) error {
	if s.mem == nil {
		mem, err := b.driver.MemHostAlloc(stagingBytes, 0)
		if err != nil {
			return err
		}
		s.mem = mem
	}
	if s.used < len(s.mem) {
		return nil
	}
	if err := b.driver.StreamSynchronize(b.stream); err != nil {
		return err
	}
	s.used = 0
	return nil
}

// download waits for the stream.
func (s *staging) download(b *CUDA, dst []byte, src driver.Ptr) error {
	for len(dst) > 0 {
		s.used = stagingBytes // what is queued ends below
		if err := s.room(b); err != nil {
			return err
		}
		n := min(len(dst), len(s.mem))
		if err := b.driver.MemcpyDtoHAsync(s.mem[:n], src, b.stream); err != nil {
			return err
		}
		if err := b.driver.StreamSynchronize(b.stream); err != nil {
			return err
		}
		copy(dst, s.mem[:n])
		dst, src = dst[n:], src+driver.Ptr(n)
	}
	return nil
}

func (s *staging) free(d *driver.Driver) error {
	if s.mem == nil {
		return nil
	}
	mem := s.mem
	s.mem = nil
	return d.MemFreeHost(mem)
}
