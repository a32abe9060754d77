package tokenizer

import "math/bits"

// merge is the result of merging a pair of adjacent tokens.
type merge struct {
	pair uint64 // id of the left token in the upper half, of the right one in the lower half
	rank uint32 // position in the list of merges; noRank marks a free slot
	id   int32  // the resulting token
}

const noRank = ^uint32(0)

func pairOf(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// mergeTable maps pairs to merges: a hash table with open addressing that is at most half
// full.
type mergeTable struct {
	slots []merge
	shift int
}

func newMergeTable(n int) mergeTable {
	size := bits.Len(uint(max(2*n, 8) - 1))
	t := mergeTable{make([]merge, 1<<size), 64 - size}
	for i := range t.slots {
		t.slots[i].rank = noRank
	}
	return t
}

// slot returns the slot that holds pair, or the free one where it belongs.
func (t *mergeTable) slot(pair uint64) *merge {
	for i := pair * 0x9e3779b97f4a7c15 >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if m := &t.slots[i]; m.pair == pair || m.rank == noRank {
			return m
		}
	}
}

// find returns the merge of a pair; rank is noRank if there is none.
func (t *mergeTable) find(left, right int32) (rank uint32, id int32) {
	m := t.slot(pairOf(left, right))
	return m.rank, m.id
}

// part is a token while a piece is merged. Parts form a linked list by index.
type part struct {
	id         int32
	prev, next int32  // indices of the neighbours; -1 and the number of parts at the ends
	rank       uint32 // rank of the merge with the next part, or noRank
	merged     int32  // resulting id of that merge
}

// merger merges pieces. It reuses its memory from piece to piece.
type merger struct {
	parts []part
	heap  []uint64 // min-heap of rank<<32 | index; some entries are outdated
}

// merge appends to ids the tokens of a piece; m.parts has one part for each byte of the
// piece.
func (m *merger) merge(ids []int32, t *mergeTable) []int32 {
	s := m.parts
	n := int32(len(s))
	m.heap = m.heap[:0]
	for i := range s {
		s[i].prev, s[i].next, s[i].rank = int32(i)-1, int32(i)+1, noRank
		if i+1 < len(s) {
			if s[i].rank, s[i].merged = t.find(s[i].id, s[i+1].id); s[i].rank != noRank {
				m.heap = append(m.heap, uint64(s[i].rank)<<32|uint64(i))
			}
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.heap) > 0 {
		rank, at := uint32(m.heap[0]>>32), int32(uint32(m.heap[0]))
		if s[at].rank != rank {
			m.pop()
			continue
		}
		left, right := &s[at], &s[s[at].next]
		left.id, left.next = left.merged, right.next
		right.rank = noRank
		left.rank = noRank
		if left.next < n {
			s[left.next].prev = at
			left.rank, left.merged = t.find(left.id, s[left.next].id)
		}
		if left.rank != noRank {
			m.heap[0] = uint64(left.rank)<<32 | uint64(at)
			m.down(0)
		} else {
			m.pop()
		}
		if left.prev >= 0 {
			p := &s[left.prev]
			if p.rank, p.merged = t.find(p.id, left.id); p.rank != noRank {
				m.push(uint64(p.rank)<<32 | uint64(left.prev))
			}
		}
	}
	for i := int32(0); i < n; i = s[i].next {
		ids = append(ids, s[i].id)
	}
	return ids
}

func (m *merger) push(x uint64) {
	m.heap = append(m.heap, x)
	h := m.heap
	i := len(h) - 1
	for i > 0 && h[(i-1)/2] > x {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = x
}

func (m *merger) pop() {
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
	if last > 0 {
		m.down(0)
	}
}

// down moves element i of the heap down to its place.
func (m *merger) down(i int) {
	h := m.heap
	x := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[child] >= x {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = x
}
