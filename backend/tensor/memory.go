package tensor

import (
	"math/bits"

	"github.com/aha-go/aha/backend"
)

// storage is one block of memory and who still needs it: the scope until it
// drops it, the tape nodes that saved it, and the gradients that live in it.
type storage struct {
	mem  *memory
	buf  backend.Buffer
	size int // of its class, in bytes
	refs int
	kept bool // survives the backward pass until Reset
	dead bool // back in the pool: reading it is a bug
	home bool // still held by the scope
}

func (st *storage) retain() { st.refs++ }

func (st *storage) release() {
	st.refs--
	if st.refs == 0 {
		st.mem.put(st)
	}
}

// drop ends the scope's own hold, once.
func (st *storage) drop() {
	if st.home {
		st.home = false
		st.release()
	}
}

// memory reuses freed blocks by size class: four classes an octave, so that
// at most a fifth of a block is unused.
type memory struct {
	b    backend.Backend
	free map[int][]backend.Buffer
	live int
	peak int
	// closed is set by Scope.Close: blocks that the tape of another scope still
	// held are freed when it lets go.
	closed bool
	// program, while one is recorded, holds the blocks freed since: its ops may
	// use them again, but nothing outside may, since they run again later.
	program  map[int][]backend.Buffer
	programs []*backend.Program // recorded so far
}

func newMemory(b backend.Backend) *memory {
	return &memory{b: b, free: map[int][]backend.Buffer{}}
}

func class(bytes int) int {
	if bytes <= 256 {
		return 256
	}
	step := 1 << (bits.Len(uint(bytes-1)) - 3)
	return (bytes + step - 1) / step * step
}

func (m *memory) get(bytes int) (*storage, error) {
	size := class(bytes)
	buf := take(m.program, size)
	if buf == nil {
		buf = take(m.free, size)
	}
	if buf == nil {
		var err error
		if buf, err = backend.AllocFor(m.b, backend.Activations, size); err != nil {
			return nil, err
		}
	}
	return m.use(buf, size), nil
}

// take removes a block from the lists of free ones; nil if there is none.
func take(free map[int][]backend.Buffer, size int) backend.Buffer {
	list := free[size]
	if len(list) == 0 {
		return nil
	}
	buf := list[len(list)-1]
	free[size] = list[:len(list)-1]
	return buf
}

// use counts a block as live, held by a scope.
func (m *memory) use(buf backend.Buffer, size int) *storage {
	m.live += size
	m.peak = max(m.peak, m.live)
	return &storage{mem: m, buf: buf, size: size, refs: 1, home: true}
}

// put takes a block back. The storage object itself stays dead for good, so
// that a stale tensor is recognised; only its buffer is used again.
func (m *memory) put(st *storage) {
	st.dead = true
	m.live -= st.size
	if m.closed {
		m.b.Free(st.buf)
		return
	}
	free := m.free
	if m.program != nil {
		free = m.program
	}
	free[st.size] = append(free[st.size], st.buf)
}

func (m *memory) beginProgram() { m.program = map[int][]backend.Buffer{} }

// endProgram returns the blocks that were freed since beginProgram, in use.
func (m *memory) endProgram() []*storage {
	var blocks []*storage
	for size, list := range m.program {
		for _, buf := range list {
			blocks = append(blocks, m.use(buf, size))
		}
	}
	m.program = nil
	return blocks
}

func (m *memory) close() {
	m.closed = true
	for _, p := range m.programs {
		p.Free()
	}
	m.programs = nil
	for size, list := range m.free {
		for _, buf := range list {
			m.b.Free(buf)
		}
		delete(m.free, size)
	}
}
