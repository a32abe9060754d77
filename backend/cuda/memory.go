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
	home   *CUDA   // queue that allocated it
	others []*CUDA // other queues that have used it
}

func (b *buffer) Bytes() int { return b.bytes }

// block is the memory of a freed buffer. The queue that allocated it may reuse
// it at once, since its own work runs in order, but must wait for the guards.
type block struct {
	ptr    driver.Ptr
	guards []driver.Event // recorded after the last work of other queues
}

// memory keeps track of the blocks of a device. A freed block is kept by the
// queue that allocated it, for the next Alloc of the same size.
type memory struct {
	blocks map[driver.Ptr]int // sizes of all blocks
	cached int                // total size of freed blocks
	held   map[backend.Holder]int
}

// class returns the size of the block for n bytes: n rounded up to a multiple
// of an eighth of the power of two at or below n, or of 512.
func class(n int) int {
	n = max(n, 512)
	step := max(1<<(bits.Len(uint(n))-1)/8, 512)
	return (n + step - 1) / step * step
}

// Alloc calls AllocFor with backend.Other.
func (b *CUDA) Alloc(bytes int) (backend.Buffer, error) { return b.AllocFor(backend.Other, bytes) }

// AllocFor returns device memory with undefined content.
func (b *CUDA) AllocFor(h backend.Holder, bytes int) (backend.Buffer, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("%s: Alloc of %d bytes", b.name, bytes)
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
		return nil, fmt.Errorf("%s: Alloc of %d bytes for %s; in use are %v: %w", b.name, bytes, h, by.Holders(), err)
	}
	m.blocks[buf.ptr] = size
	m.held[h] += size
	return buf, nil
}

// reuse returns a freed block of the given size.
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

// temp returns memory for the launches of one op. The caller frees it when they
// are queued.
func (b *CUDA) temp(dt backend.DType, shape ...int) (backend.View, error) {
	v := backend.NewView(nil, dt, shape...)
	buf, err := b.alloc(backend.Other, v.Len()*dt.Size())
	if err != nil {
		return v, err
	}
	v.Buf = buf
	return v, nil
}

// Free keeps the block for the next buffer of the same size of the queue that
// allocated it.
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
	if home.closed { // the device is closed and has freed all blocks
		return
	}
	if len(f.others) > 0 {
		pin, err := b.device.pin()
		if err == nil {
			k.guards, err = guards(home, f.others)
			err = b.unpin(pin, err)
		}
		if err != nil { // the block cannot be reused before Close
			b.late = errors.Join(b.late, fmt.Errorf("%s: Free: %w", b.name, err))
			return
		}
	}
	home.free[f.class] = append(home.free[f.class], k)
	b.memory.cached += f.class
}

// guards returns events recorded after the work of the queues other than home.
func guards(home *CUDA, others []*CUDA) ([]driver.Event, error) {
	var list []driver.Event
	for _, q := range others {
		if q == home || q.closed { // a closed queue has no work left
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

// trim returns the freed blocks of all queues to the device.
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

// release frees all blocks, including those of buffers in use.
func (m *memory) release(d *driver.Driver) error {
	var errs []error
	for p := range m.blocks {
		errs = append(errs, d.MemFree(p))
	}
	m.blocks, m.cached = nil, 0
	return errors.Join(errs...)
}

// window returns the address of n bytes of buf, starting at byte off.
func (b *CUDA) window(call string, buf backend.Buffer, off, n int) driver.Ptr {
	f := b.own(call, buf)
	if off < 0 || n > f.bytes-off {
		panic(fmt.Errorf("%s: %s: bytes %d to %d of a buffer of %d", b.name, call, off, off+n, f.bytes))
	}
	return f.ptr + driver.Ptr(off)
}

// Upload copies src to the device. The copy runs in order with the queue's ops.
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

// Download waits for the queue's work and copies from the device to dst.
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

// staging is the pinned host memory through which data is copied.
type staging struct {
	mem  []byte
	used int // bytes of mem that queued uploads may still read
}

// stagingBytes is the size of the staging memory.
const stagingBytes = 4 << 20

// upload copies src through the free part of the staging memory. When that is
// full, it waits for the stream.
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

// room ensures that part of the staging memory is free.
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

// download copies to dst through the staging memory and waits for the stream.
func (s *staging) download(b *CUDA, dst []byte, src driver.Ptr) error {
	for len(dst) > 0 {
		s.used = stagingBytes // so that room waits for queued uploads
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
