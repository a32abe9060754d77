package cpu

// attentionSplit computes Attention where there are few blocks with many keys.
// It works in waves: first the threads compute segments, then one thread per
// block merges the segments in order.
type attentionSplit[T number] struct {
	*attention[T]
	wave  []piece
	heads []int // index in wave of each block's first piece
	size  int   // elements of a slot
	slots []T   // a partial for each piece of the wave, then two for a block that continues in the next wave
	turn  int   // which of those two holds the block that continues
}

// piece is segment seg of the block of the given unit.
type piece struct{ unit, seg int }

// waveSegments is the number of segments per worker in a wave.
const waveSegments = 8

func (j *attentionSplit[T]) do(p *pool, a *attention[T]) {
	j.attention = a
	limit := waveSegments * len(p.workers)
	units := len(a.tiles) * a.K.Shape[1]
	j.size = 0
	for u := range units {
		b := a.block(u)
		j.size = max(j.size, a.partialSize(&b))
	}
	j.slots = grow(j.slots, (limit+2)*j.size)
	for u, s := 0, 0; u < units; {
		j.wave, j.heads = j.wave[:0], j.heads[:0]
		for u < units && len(j.wave) < limit {
			if s == 0 || len(j.wave) == 0 {
				j.heads = append(j.heads, len(j.wave))
			}
			j.wave = append(j.wave, piece{u, s})
			b := a.block(u)
			if s++; s >= b.segments() {
				u, s = u+1, 0
			}
		}
		p.run(len(j.wave), 1, (*attentionPieces[T])(j))
		p.run(len(j.heads), 1, j)
		j.turn = 1 - j.turn
	}
	j.attention = nil
}

// slot returns the memory of the i-th partial.
func (j *attentionSplit[T]) slot(i int) []T { return j.slots[i*j.size:][:j.size] }

// attentionPieces is the job that computes the pieces of a wave.
type attentionPieces[T number] attentionSplit[T]

func (j *attentionPieces[T]) run(w *worker, lo, hi int) {
	for ; lo < hi; lo++ {
		b := j.block(j.wave[lo].unit)
		if b.most == 0 {
			continue
		}
		p := j.prepare(&b, scratch[T](w, j.prepareSize(&b)))
		j.attend(&b, j.wave[lo].seg, &p, j.partial(&b, (*attentionSplit[T])(j).slot(lo)))
	}
}

// run merges the pieces of blocks lo to hi−1 of the wave.
func (j *attentionSplit[T]) run(w *worker, lo, hi int) {
	carried := len(j.slots)/j.size - 2
	for ; lo < hi; lo++ {
		i := j.heads[lo]
		unit := j.wave[i].unit
		b := j.block(unit)
		from := i
		if j.wave[i].seg > 0 {
			from = carried + j.turn
		} else {
			i++
		}
		into := j.partial(&b, j.slot(from))
		for ; i < len(j.wave) && j.wave[i].unit == unit; i++ {
			j.merge(&b, into, j.partial(&b, j.slot(i)))
		}
		if i == len(j.wave) && j.wave[i-1].seg+1 < b.segments() {
			copy(j.slot(carried+1-j.turn), j.slot(from))
			continue
		}
		buf := scratch[T](w, j.prepareSize(&b))
		p := j.prepare(&b, buf)
		j.finish(&b, &p, into)
	}
}
