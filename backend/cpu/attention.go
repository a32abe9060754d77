package cpu

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// attention is the job of Attention. A unit is a block: the query rows of one
// tile and the heads that share one key head. Scores exist for one segment of
// keys at a time (Dao et al. 2022, Milakov and Gimelshein 2018).
//
// The keys that a row sees are numbered from position 0 of its sequence and
// split into segments of segmentKeys. Each segment is computed independently: a
// score is one chain of multiply-adds over the head's width, exponentials are
// taken relative to the segment's own maximum, and the output is one chain over
// the segment's keys. The segments' (m, sum, o) are then merged in ascending
// order. So the bits of a row depend neither on tiling, chunking and the number
// of threads nor on the layout of the cache.
type attention[T number] struct {
	*backend.Attention
	tiles []tile
	split attentionSplit[T]
}

// tile is a run of query rows, [lo, hi), whose first visible key is row first.
// most is the largest number of keys that one of its rows sees.
type tile struct{ lo, hi, first, most int }

const (
	segmentKeys = backend.PageRows // must not exceed asm.LaneKeys
	// tileVectors is roughly how many query vectors share the packed keys and
	// values of a segment.
	tileVectors = 128
	// laneVectors is the minimum number of query vectors for which each gets
	// its own SIMD lane. Fewer are computed row by row, with keys in the lanes.
	laneVectors = 12
)

func (j *attention[T]) do(p *pool, o *backend.Attention) {
	j.Attention = o
	kHeads := o.K.Shape[1]
	group := o.Q.Shape[1] / kHeads
	j.tiles = tiles(j.tiles[:0], "Attention", &o.Start, &o.Len, &o.Pages, o.K.Shape[0], tileLimit(group))
	units, work, longest := len(j.tiles)*kHeads, 0, 0
	for _, t := range j.tiles {
		work += (t.hi - t.lo) * t.most
		longest = max(longest, t.most)
	}
	if len(p.workers) > 1 && units < 4*len(p.workers) && longest > segmentKeys {
		j.split.do(p, j)
	} else {
		work = work / max(len(j.tiles), 1) * (o.Q.Shape[2] + o.V.Shape[2]) * group
		p.run(units, 1+pieceWork/4/(1+work), j)
	}
	j.Attention = nil
}

// tileLimit returns the maximum number of rows of a tile if each key head
// serves group query heads.
func tileLimit(group int) int {
	if group%asm.Lanes == 0 {
		return max(tileVectors/2/group, 1)
	}
	return max(tileVectors/group&^(asm.Lanes-1), 2*asm.Lanes)
}

// tiles appends to to the runs of rows that share their first key, of at most
// limit rows each. A row that sees no keys joins the run before it.
func tiles(to []tile, op string, start, length, pages *backend.View, keyRows, limit int) []tile {
	for i := range start.Shape[0] {
		first, keys := keyWindow(op, start, length, pages, i, keyRows)
		if n := len(to); n > 0 && to[n-1].hi-to[n-1].lo < limit {
			t := &to[n-1]
			if t.most == 0 {
				t.first = first
			}
			if keys == 0 || t.first == first {
				t.hi, t.most = i+1, max(t.most, keys)
				continue
			}
		}
		to = append(to, tile{i, i + 1, first, keys})
	}
	return to
}

// keyWindow returns the first key row that query row i sees and how many it
// sees.
func keyWindow(op string, start, length, pages *backend.View, i, rows int) (first, n int) {
	first, n = int(data[int32](start)[i]), int(data[int32](length)[i])
	if n <= 0 {
		return 0, 0
	}
	if pages.Present() {
		checkPages(op, pages, i, first, n, rows)
		return first, n
	}
	if first < 0 || first+n > rows {
		panic(fmt.Errorf("cpu: %s: row %d: keys %d to %d of %d", op, i, first, first+n, rows))
	}
	return first, n
}

// checkPages panics unless the page table maps each of the n keys, starting at
// first, that query row i sees.
func checkPages(op string, pages *backend.View, i, first, n, rows int) {
	table := data[int32](pages)[:pages.Shape[0]]
	if first < 0 || first%segmentKeys != 0 || first+n > len(table)*segmentKeys {
		panic(fmt.Errorf("cpu: %s: row %d: keys %d to %d of %d pages of %d", op, i, first, first+n, len(table), segmentKeys))
	}
	for at := first; at < first+n; at += segmentKeys {
		page := int(table[at/segmentKeys])
		if last := page*segmentKeys + min(segmentKeys, first+n-at); page < 0 || last > rows {
			panic(fmt.Errorf("cpu: %s: row %d: page %d is %d, there are %d key rows", op, i, at/segmentKeys, page, rows))
		}
	}
}

// segmentRow returns the row of K and V at which segment s of the block begins.
func segmentRow(o *backend.Attention, b *block, s int) int {
	if o.Pages.Present() {
		return int(data[int32](&o.Pages)[b.first/segmentKeys+s]) * segmentKeys
	}
	return b.first + s*segmentKeys
}

// keyRows returns the memory of v [R, G, D] starting at row first of key head
// g.
func keyRows[T number | uint16](v *backend.View, first, g int) []T {
	return data[T](v)[first*v.Strides[0]+g*v.Strides[1]:]
}

// widenRows widens n rows of the BF16 view v [R, G, D], starting at row first
// of key head g, into rows of dst that lie stride apart.
func widenRows[T number](dst []T, stride int, v *backend.View, first, n, g int) {
	asm.FromBF16Rows(any(dst).([]float32), stride, keyRows[uint16](v, first, g), v.Strides[0], n, v.Shape[2])
}

// valuesInKeys returns the offset of a row of V within the row of K, and
// whether V is a part of K, as in absorbed MLA.
func valuesInKeys(o *backend.Attention) (at int, ok bool) {
	at = o.V.Offset - o.K.Offset
	same := o.V.Buf == o.K.Buf && o.V.DType == o.K.DType && o.V.Strides == o.K.Strides
	return at, same && at >= 0 && at+o.V.Shape[2] <= o.K.Shape[2]
}

// block is the query vectors (rows × heads) of one tile that use key head g.
// They are processed in batches of equal size.
type block struct {
	tile
	g, group int
	lanes    bool // each vector of a batch has its own SIMD lane
	across   bool // a batch is several heads of one row, else several rows of one head
	size     int  // vectors of a batch
	width    int  // vectors that the buffers of a batch have room for
}

func (j *attention[T]) block(unit int) block {
	kHeads := j.K.Shape[1]
	b := block{tile: j.tiles[unit/kHeads], g: unit % kHeads, group: j.Q.Shape[1] / kHeads}
	rows := b.hi - b.lo
	b.across = rows == 1 || b.group%asm.Lanes == 0
	b.size = rows
	if b.across {
		b.size = b.group
	}
	b.width = b.size
	if _, ok := any(j).(*attention[float32]); ok && b.size >= laneVectors {
		b.lanes, b.size, b.width = true, min(b.size, asm.Lanes), asm.Lanes
	}
	return b
}

// segments returns how many segments of keys the block's rows see.
func (b *block) segments() int { return ceil(b.most, segmentKeys) }

// perLine returns the number of batches of one row (if across) or of one head.
func (b *block) perLine() int {
	if b.across {
		return ceil(b.group, b.width)
	}
	return ceil(b.hi-b.lo, b.width)
}

func (b *block) batches() int {
	if b.across {
		return b.perLine() * (b.hi - b.lo)
	}
	return b.perLine() * b.group
}

// vectors are n query vectors: rows i, i+di, … of heads h, h+dh, …
type vectors struct{ n, i, di, h, dh int }

// batch returns the l-th batch. The last batch of a row or head may overlap the
// one before it: computing full lanes costs no more than computing some of
// them.
func (b *block) batch(l int) vectors {
	line, at := l/b.perLine(), l%b.perLine()*b.width
	if b.across {
		return vectors{n: b.size, i: b.lo + line, h: b.g*b.group + min(at, b.group-b.size), dh: 1}
	}
	return vectors{n: b.size, i: b.lo + min(at, b.hi-b.lo-b.size), di: 1, h: b.g*b.group + line}
}

// place returns the offset of q's first vector in v [N, H, D] and the stride
// from one vector to the next.
func (q *vectors) place(v *backend.View) (from, step int) {
	return q.i*v.Strides[0] + q.h*v.Strides[1], q.di*v.Strides[0] + q.dh*v.Strides[1]
}

// widenVectors widens q's vectors in the BF16 view v [N, H, D] into dst, one
// after the other.
func widenVectors[T number](dst []T, q *vectors, v *backend.View) {
	from, step := q.place(v)
	d := v.Shape[2]
	asm.FromBF16Rows(any(dst).([]float32), d, data[uint16](v)[from:], step, q.n, d)
}

// visible returns how many of the n keys starting at key first are visible to
// vector r of q.
func (q *vectors) visible(length []int32, r, first, n int) int {
	return min(max(int(length[q.i+r*q.di])-first, 0), n)
}

// partial is the attention of a block's vectors to some of its segments, not
// yet normalised: o = Σ exp(S−m)·V, the maxima m and the sums of exp(S−m). When
// computed by rows, o has one vector after the other; by lanes, [Dv, Lanes] for
// each batch.
type partial[T number] struct{ o, m, sum []T }

// partialSize returns the number of elements of a partial of block b.
func (j *attention[T]) partialSize(b *block) int {
	return aligned(b.batches() * b.width * (j.V.Shape[2] + 2))
}

// aligned rounds a number of elements up to whole cache lines, so that whatever
// follows in the same memory is aligned too.
func aligned(n int) int { return (n + 15) &^ 15 }

func (j *attention[T]) partial(b *block, mem []T) partial[T] {
	n := b.batches() * b.width
	dv := j.V.Shape[2]
	return partial[T]{o: mem[:n*dv], m: mem[n*dv:][:n], sum: mem[n*(dv+1):][:n]}
}

func (j *attention[T]) run(w *worker, lo, hi int) {
	for ; lo < hi; lo++ {
		b := j.block(lo)
		size := j.partialSize(&b)
		buf := scratch[T](w, 2*size+j.prepareSize(&b))
		into, part, buf := j.partial(&b, buf), j.partial(&b, buf[size:]), buf[2*size:]
		p := j.prepare(&b, buf)
		for s := range b.segments() {
			if s == 0 {
				j.attend(&b, s, &p, into)
				continue
			}
			j.attend(&b, s, &p, part)
			j.merge(&b, into, part)
		}
		j.finish(&b, &p, into)
	}
}

// prepared is the scratch memory of a block: rows or lanes, as block.lanes
// says.
type prepared[T number] struct {
	rows  rowScratch[T]
	lanes laneScratch
}

func (j *attention[T]) prepareSize(b *block) int {
	if b.lanes {
		return laneScratchSize(j.Attention, b)
	}
	return j.rowScratchSize(b)
}

func (j *attention[T]) prepare(b *block, buf []T) (p prepared[T]) {
	if b.lanes {
		p.lanes = newLaneScratch(j.Attention, b, any(buf).([]float32))
	} else {
		p.rows = j.newRowScratch(b, buf)
	}
	return p
}

// attend computes the block's attention to segment s.
func (j *attention[T]) attend(b *block, s int, p *prepared[T], to partial[T]) {
	if b.lanes {
		attendLanes(j.Attention, b, s, &p.lanes, any(to).(partial[float32]))
	} else {
		j.attendRows(b, s, &p.rows, to)
	}
}

// merge merges the partial of a later segment into the block's partial:
//
//	m = max(m₁, m₂)   o = o₁·exp(m₁−m) + o₂·exp(m₂−m)   and likewise the sum
func (j *attention[T]) merge(b *block, into, part partial[T]) {
	if b.lanes {
		mergeLanes(b, any(into).(partial[float32]), any(part).(partial[float32]))
	} else {
		mergeRows(into, part)
	}
}

// finish divides o by the sums and writes O and LSE.
func (j *attention[T]) finish(b *block, p *prepared[T], from partial[T]) {
	if b.lanes {
		finishLanes(j.Attention, b, &p.lanes, any(from).(partial[float32]))
	} else {
		j.finishRows(b, &p.rows, from)
	}
}

// logSum returns the log-sum-exp of scores with maximum m and sum = Σ exp(S−m).
func logSum[T number](m, sum T) T { return m + T(math.Log(float64(sum))) }

// unseen writes the result of a row that sees no keys.
func unseen[T number](o []T, lse *T) {
	clear(o)
	*lse = T(math.Inf(-1))
}
