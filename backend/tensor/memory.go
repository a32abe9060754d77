package tensor

import (
	"maps"
	"math/bits"
	"slices"

	"github.com/aha-go/aha/backend"
)

// block is memory of a size class.
type block struct {
	buf  backend.Buffer
	size int // of its class, in bytes
	turn int // the micro-batch that used it last
	// recorded is set if a program uses it. The block then stays allocated until the scope is
	// closed, since the program may run again.
	recorded bool
}

// storage is the use of a block by a tensor or gradient, with the number of references: of
// the scope until it drops it, of the tape nodes that saved it, and of the gradients in it.
type storage struct {
	*block
	mem  *memory
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
// Micro-batches of other numbers of rows need blocks of other sizes. Beyond idleBytes of
// free blocks that the current micro-batch has not used, one of up to twice the size serves,
// or, if there is none, others are freed for the new one. So micro-batches with the same
// number of tensors, such as those of a model, take what the largest needs and idleBytes.
type memory struct {
	b    backend.Backend
	free map[int][]*block // by size
	live int              // bytes
	peak int
	held int // live and free
	used int // of held, used by the current micro-batch at some time
	turn int // counts micro-batches
	// closed is set by Scope.Close: blocks that the tape of another scope still
	// references are freed when it releases them.
	closed bool
	// program, while one is recorded, has the blocks freed since: its ops may
	// use them again, but nothing outside may, since they run again later.
	program  map[int][]*block
	programs []*backend.Program // recorded so far
}

// idleBytes is how much memory that the current micro-batch has not used stays allocated.
const idleBytes = 64 << 20

func newMemory(b backend.Backend) *memory { return &memory{b: b, free: map[int][]*block{}} }

func class(bytes int) int {
	if bytes <= 256 {
		return 256
	}
	step := 1 << (bits.Len(uint(bytes-1)) - 3)
	return (bytes + step - 1) / step * step
}

func (m *memory) get(bytes int) (*storage, error) {
	size := class(bytes)
	x := take(m.program, size)
	if x == nil {
		x = take(m.free, size)
	}
	if x == nil && m.program == nil {
		x = m.larger(size)
	}
	if x == nil {
		m.trim(size)
		buf, err := backend.AllocFor(m.b, backend.Activations, size)
		if err != nil {
			return nil, err
		}
		x = &block{buf: buf, size: size, turn: -1}
		m.held += size
	}
	if x.turn != m.turn {
		x.turn = m.turn
		m.used += x.size
	}
	if m.program != nil {
		x.recorded = true
	}
	return m.use(x), nil
}

// take removes a block from the lists of free ones; nil if there is none of size.
func take(free map[int][]*block, size int) *block {
	list := free[size]
	if len(list) == 0 {
		return nil
	}
	free[size] = list[:len(list)-1]
	return list[len(list)-1]
}

// crowded reports whether the blocks that the current micro-batch has not used are too many.
func (m *memory) crowded() bool { return m.held-m.used > idleBytes }

// stale is the index of a free block of size that the current micro-batch has not used, the
// oldest first; -1 if there is none.
func (m *memory) stale(size int) int {
	return slices.IndexFunc(m.free[size], func(x *block) bool { return x.turn != m.turn })
}

// larger takes a stale block of the nearest size up to twice the given one, if stale blocks
// are too many; else nil.
func (m *memory) larger(size int) *block {
	if !m.crowded() {
		return nil
	}
	for next := class(size + 1); next <= 2*size; next = class(next + 1) {
		if i := m.stale(next); i >= 0 {
			return m.remove(next, i)
		}
	}
	return nil
}

// trim frees stale blocks of at least bytes together, as long as they are too many, the
// largest first. Those of programs are left.
func (m *memory) trim(bytes int) {
	if !m.crowded() {
		return
	}
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(m.free))) {
		for i := m.stale(size); i >= 0 && i < len(m.free[size]); {
			if bytes <= 0 || !m.crowded() {
				return
			}
			if x := m.free[size][i]; x.recorded || x.turn == m.turn {
				i++
				continue
			}
			m.b.Free(m.remove(size, i).buf)
			m.held -= size
			bytes -= size
		}
	}
}

// remove takes the i-th free block of size.
func (m *memory) remove(size, i int) *block {
	x := m.free[size][i]
	m.free[size] = slices.Delete(m.free[size], i, i+1)
	return x
}

// nextBatch begins a micro-batch.
func (m *memory) nextBatch() {
	m.turn++
	m.used = m.live
}

// use counts x as live, referenced by a scope.
func (m *memory) use(x *block) *storage {
	m.live += x.size
	m.peak = max(m.peak, m.live)
	return &storage{block: x, mem: m, refs: 1, home: true}
}

// put takes a block back. The storage object itself stays dead for good, so
// that a stale tensor is recognised; only its block is used again.
func (m *memory) put(st *storage) {
	st.dead = true
	m.live -= st.size
	if m.closed {
		m.b.Free(st.buf)
		return
	}
	st.turn = m.turn
	free := m.free
	if m.program != nil {
		free = m.program
	}
	free[st.size] = append(free[st.size], st.block)
}

func (m *memory) beginProgram() { m.program = map[int][]*block{} }

// endProgram returns the blocks that were freed since beginProgram, in use.
func (m *memory) endProgram() []*storage {
	var blocks []*storage
	for _, list := range m.program {
		for _, x := range list {
			blocks = append(blocks, m.use(x))
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
		for _, x := range list {
			m.b.Free(x.buf)
		}
		delete(m.free, size)
	}
}
