package tensor

import (
	"maps"
	"math/bits"
	"slices"

	"github.com/aha-go/aha/backend"
)

// storage is one block of memory and the number of its references: of the scope until it
// drops it, of the tape nodes that saved it, and of the gradients in it.
type storage struct {
	mem  *memory
	buf  backend.Buffer
	size int // of its class, in bytes
	refs int
	kept bool // survives the backward pass until Reset
	dead bool // its block is free: reading it is a bug
	home bool // the scope has one of the references
}

func (st *storage) retain() { st.refs++ }

func (st *storage) release() {
	st.refs--
	if st.refs == 0 {
		st.mem.put(st)
	}
}

// drop releases the scope's reference, once.
func (st *storage) drop() {
	if st.home {
		st.home = false
		st.release()
	}
}

// memory reuses freed blocks by size class: four classes an octave, so that
// at most a fifth of a block is unused.
//
// Micro-batches of other numbers of rows need blocks of other sizes. Where free ones that
// the current micro-batch has not used are more than idleBytes, one of the next class
// serves, or some are freed for a new one, so that all blocks together are little more than
// the largest micro-batch needs.
type memory struct {
	b    backend.Backend
	free map[int][]idle
	live int
	peak int
	held int // live and free
	used int // of held, in use by the current micro-batch at some time
	turn int // counts micro-batches
	// closed is set by Scope.Close: blocks that the tape of another scope still
	// held are freed when it lets go.
	closed bool
	// program, while one is recorded, holds the blocks freed since: its ops may
	// use them again, but nothing outside may, since they run again later.
	program  map[int][]idle
	programs []*backend.Program // recorded so far
}

// idle is a free block, and the micro-batch that used it last.
type idle struct {
	buf  backend.Buffer
	turn int
}

// idleBytes is how much memory that the current micro-batch has not used stays allocated.
const idleBytes = 64 << 20

func newMemory(b backend.Backend) *memory { return &memory{b: b, free: map[int][]idle{}} }

func class(bytes int) int {
	if bytes <= 256 {
		return 256
	}
	step := 1 << (bits.Len(uint(bytes-1)) - 3)
	return (bytes + step - 1) / step * step
}

func (m *memory) get(bytes int) (*storage, error) {
	size := class(bytes)
	block, ok := take(m.program, size)
	if !ok {
		block, ok = take(m.free, size)
	}
	if !ok && m.trims() {
		if next := class(size + 1); m.stale(next) {
			size = next
			block, ok = take(m.free, size)
		} else {
			m.trim(size)
		}
	}
	if !ok {
		buf, err := backend.AllocFor(m.b, backend.Activations, size)
		if err != nil {
			return nil, err
		}
		block = idle{buf: buf, turn: -1}
		m.held += size
	}
	if block.turn != m.turn {
		m.used += size
	}
	return m.use(block.buf, size), nil
}

// take removes a block from the lists of free ones.
func take(free map[int][]idle, size int) (block idle, ok bool) {
	list := free[size]
	if len(list) == 0 {
		return idle{}, false
	}
	free[size] = list[:len(list)-1]
	return list[len(list)-1], true
}

// trims reports whether blocks that the current micro-batch has not used are too many. A
// program may read blocks that are free, so with programs all are left as they are.
func (m *memory) trims() bool {
	return m.held-m.used > idleBytes && len(m.programs) == 0 && m.program == nil
}

// stale reports whether a free block of size has not been used by the current micro-batch.
func (m *memory) stale(size int) bool {
	list := m.free[size]
	return len(list) > 0 && list[0].turn != m.turn
}

// trim frees stale blocks of at least bytes together, as long as there are too many, the
// largest first.
func (m *memory) trim(bytes int) {
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(m.free))) {
		for m.stale(size) && bytes > 0 && m.trims() {
			m.b.Free(m.free[size][0].buf)
			m.free[size] = slices.Delete(m.free[size], 0, 1)
			m.held -= size
			bytes -= size
		}
	}
}

// nextBatch begins a micro-batch.
func (m *memory) nextBatch() {
	m.turn++
	m.used = m.live
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
	free[st.size] = append(free[st.size], idle{st.buf, m.turn})
}

func (m *memory) beginProgram() { m.program = map[int][]idle{} }

// endProgram returns the blocks that were freed since beginProgram, in use.
func (m *memory) endProgram() []*storage {
	var blocks []*storage
	for size, list := range m.program {
		for _, block := range list {
			blocks = append(blocks, m.use(block.buf, size))
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
		for _, block := range list {
			m.b.Free(block.buf)
		}
		delete(m.free, size)
	}
}
