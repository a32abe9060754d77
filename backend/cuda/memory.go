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
}

func (b *buffer) Bytes() int { return b.bytes }

// memory keeps freed blocks by size for the next Alloc of that size. Since all work
// is on one stream, a block may be used again while work on it is queued.
type memory struct {
	driver *driver.Driver
	free   map[int][]driver.Ptr // by size in bytes
	blocks map[driver.Ptr]int   // all, with their sizes
	cached int                  // bytes of free
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
	var buf *buffer
	err := b.pinned(func() (err error) {
		buf, err = b.alloc(h, bytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return buf, nil
}

func (b *CUDA) alloc(h backend.Holder, bytes int) (*buffer, error) {
	m, size := &b.memory, class(bytes)
	buf := &buffer{bytes: bytes, class: size, holder: h}
	if list := m.free[size]; len(list) > 0 {
		buf.ptr = list[len(list)-1]
		m.free[size] = list[:len(list)-1]
		m.cached -= size
	} else {
		p, err := m.driver.MemAlloc(size)
		if errors.Is(err, driver.OutOfMemory) && m.cached > 0 {
			if err := m.trim(); err != nil {
				return nil, err
			}
			p, err = m.driver.MemAlloc(size)
		}
		if err != nil {
			by := backend.Memory{By: m.held}
			return nil, fmt.Errorf("%s: %d bytes for %s; held are %v: %w", b.name, bytes, h, by.Holders(), err)
		}
		if m.blocks == nil {
			m.blocks, m.free = map[driver.Ptr]int{}, map[int][]driver.Ptr{}
		}
		m.blocks[p] = size
		buf.ptr = p
	}
	m.held[h] += size
	return buf, nil
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

// Free keeps the block for another buffer.
func (b *CUDA) Free(buf backend.Buffer) {
	f := buf.(*buffer)
	if f.ptr == 0 {
		return
	}
	m := &b.memory
	m.free[f.class] = append(m.free[f.class], f.ptr)
	m.cached += f.class
	m.held[f.holder] -= f.class
	f.ptr = 0
}

// trim gives the free blocks back to the device.
func (m *memory) trim() error {
	var errs []error
	for size, list := range m.free {
		for _, p := range list {
			errs = append(errs, m.driver.MemFree(p))
			delete(m.blocks, p)
			m.cached -= size
		}
	}
	clear(m.free)
	return errors.Join(errs...)
}

// release gives all blocks back, those of buffers in use included.
func (m *memory) release() error {
	var errs []error
	for p := range m.blocks {
		errs = append(errs, m.driver.MemFree(p))
	}
	m.blocks, m.free, m.cached = nil, nil, 0
	return errors.Join(errs...)
}

// window is the address of n bytes of buf from off on.
func window(call string, buf backend.Buffer, off, n int) driver.Ptr {
	f := buf.(*buffer)
	if f.ptr == 0 {
		panic(fmt.Errorf("cuda: %s: the buffer was freed", call))
	}
	if off < 0 || n > f.bytes-off {
		panic(fmt.Errorf("cuda: %s: bytes %d to %d of a buffer of %d", call, off, off+n, f.bytes))
	}
	return f.ptr + driver.Ptr(off)
}

// Upload copies src to the device in the order of ops.
func (b *CUDA) Upload(dst backend.Buffer, off int, src []byte) error {
	p := window("Upload", dst, off, len(src))
	if len(src) == 0 {
		return nil
	}
	return b.pinned(func() error { return b.staging.upload(b, p, src) })
}

// Download waits for queued work and copies from the device.
func (b *CUDA) Download(dst []byte, src backend.Buffer, off int) error {
	p := window("Download", src, off, len(dst))
	if len(dst) == 0 {
		return nil
	}
	return b.pinned(func() error {
		if err := b.staging.download(b, dst, p); err != nil {
			return err
		}
		return b.indexes()
	})
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
