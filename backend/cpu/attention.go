package cpu

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// attention is a job over tiles of query rows × key heads. A row's scores are
// indexed from its first key on, which is position 0 of its sequence; a score
// is one chain over the head's width, an output one chain over its keys. So
// neither tiling, packing, chunking nor the cache changes any of its bits.
type attention[T number] struct {
	*backend.Attention
	tiles []segment
}

// segment is a run of query rows, [lo, hi), that share their first key; most
// and least are how many keys its rows see.
type segment struct{ lo, hi, first, most, least int }

const (
	// attentionTile is the most query rows of one sequence that are scored
	// together: enough to pay for packing their keys.
	attentionTile = 32
	// packValues is how many query vectors pay for packing their values.
	packValues = 4
)

func (j *attention[T]) do(p *pool, o *backend.Attention) {
	j.Attention = o
	j.tiles = segments(j.tiles[:0], "Attention", &o.Start, &o.Len, o.K.Shape[0], attentionTile)
	work := 0
	for _, t := range j.tiles {
		work += (t.hi - t.lo) * t.most
	}
	kHeads := o.K.Shape[1]
	work = work / max(len(j.tiles), 1) * (o.Q.Shape[2] + o.V.Shape[2]) * o.Q.Shape[1] / kHeads
	p.run(len(j.tiles)*kHeads, 1+pieceWork/4/(1+work), j)
	j.Attention = nil
}

// segments appends the runs of rows that share their first key, of at most
// limit rows each. Rows that see nothing join any run.
func segments(to []segment, op string, start, length *backend.View, keyRows, limit int) []segment {
	for i := range start.Shape[0] {
		first, keys := keyWindow(op, start, length, i, keyRows)
		if n := len(to); n > 0 && to[n-1].hi-to[n-1].lo < limit {
			s := &to[n-1]
			if s.most == 0 {
				s.first = first
			}
			if keys == 0 || s.first == first {
				s.hi, s.most, s.least = i+1, max(s.most, keys), min(s.least, keys)
				continue
			}
		}
		to = append(to, segment{i, i + 1, first, keys, keys})
	}
	return to
}

// vectors are n query vectors that see the same keys: rows i, i+di, … of heads
// h, h+dh, …
type vectors struct{ n, i, di, h, dh int }

func (j *attention[T]) run(w *worker, lo, hi int) {
	kHeads := j.K.Shape[1]
	group := j.Q.Shape[1] / kHeads
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	for ; lo < hi; lo++ {
		t, g := j.tiles[lo/kHeads], lo%kHeads
		rows := t.hi - t.lo
		block := max(rows, group) // query vectors that are scored at once
		packedK, packedV := asm.PackedSize(d, t.most), 0
		if block >= packValues {
			packedV = asm.PackedSize(t.least, dv)
		}
		buf := scratch[T](w, packedK+packedV+block*t.most)
		keys, values, scores := buf[:packedK], buf[packedK:][:packedV], buf[packedK+packedV:]
		if t.most > 0 {
			packPanels(keys, keyRows[T](&j.K, t.first, g), d, t.most, 1, j.K.Strides[0])
		}
		if packedV > 0 {
			packPanels(values, keyRows[T](&j.V, t.first, g), t.least, dv, j.V.Strides[0], 1)
		}
		if rows == 1 { // decoding: the heads that share keys
			j.attend(t, g, vectors{n: group, i: t.lo, h: g * group, dh: 1}, keys, values, scores)
			continue
		}
		for h := g * group; h < (g+1)*group; h++ {
			j.attend(t, g, vectors{n: rows, i: t.lo, di: 1, h: h}, keys, values, scores)
		}
	}
}

// attend computes the outputs of q from the packed keys of its tile, and from
// its packed values where there are any.
func (j *attention[T]) attend(t segment, g int, q vectors, keys, values, scores []T) {
	query, out, lse := data[T](&j.Q), data[T](&j.O), data[T](&j.LSE)
	length, d, dv := data[int32](&j.Len), j.Q.Shape[2], j.V.Shape[2]
	if t.most > 0 {
		from := q.i*j.Q.Strides[0] + q.h*j.Q.Strides[1]
		gemmPacked(q.n, t.most, d, query[from:], q.di*j.Q.Strides[0]+q.dh*j.Q.Strides[1], 1, keys, scores, t.most, false)
	}
	for r := range q.n {
		n := int(max(length[q.i+r*q.di], 0))
		p := scores[r*t.most:][:n]
		scale(p, p, T(j.Scale))
		m, sum := expShifted(p, p)
		lse[(q.i+r*q.di)*j.Q.Shape[1]+q.h+r*q.dh] = m + T(math.Log(float64(sum)))
		if n > 0 {
			scale(p, p, 1/sum)
		}
	}
	from, step := q.i*j.O.Strides[0]+q.h*j.O.Strides[1], q.di*j.O.Strides[0]+q.dh*j.O.Strides[1]
	shared := 0 // keys that every row sees: one product; the others row by row
	if len(values) > 0 {
		shared = t.least
		gemmPacked(q.n, dv, shared, scores, t.most, 1, values, out[from:], step, false)
	}
	for r := range q.n {
		o := out[from+r*step:][:dv]
		if shared == 0 {
			clear(o)
		}
		if n := int(max(length[q.i+r*q.di], 0)); n > shared {
			weightedSum(o, scores[r*t.most+shared:][:n-shared], keyRows[T](&j.V, t.first+shared, g), j.V.Strides[0])
		}
	}
}

// keyWindow is the first key row and the number of keys that query row i sees.
func keyWindow(op string, start, length *backend.View, i, rows int) (first, n int) {
	first, n = int(data[int32](start)[i]), int(data[int32](length)[i])
	if n <= 0 {
		return 0, 0
	}
	if first < 0 || first+n > rows {
		panic(fmt.Errorf("cpu: %s: row %d: keys %d to %d of %d", op, i, first, first+n, rows))
	}
	return first, n
}

// keyRows is the memory of v [R, G, D] from row first of key head g on.
func keyRows[T number](v *backend.View, first, g int) []T {
	return data[T](v)[first*v.Strides[0]+g*v.Strides[1]:]
}
