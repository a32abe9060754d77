package cpu

// attentionGradSplit computes AttentionGrad where there are fewer sequences ×
// key heads than threads. It works in waves: first each thread computes some
// tiles of query rows, then each adds all tiles of the wave, in order, to some
// rows of DK or DV.
type attentionGradSplit[T number] struct {
	*attentionGrad[T]
	segment keySegment[T]
	tiles   []gradTile[T]
	wave    []gradTile[T] // the tiles in use
	memory  []T
}

const (
	// waveTiles is the number of tiles per worker in a wave.
	waveTiles = 4
	// gradKeys is the number of rows of DK or DV in one unit of work.
	gradKeys = 32
)

func (j *attentionGradSplit[T]) do(p *pool, a *attentionGrad[T]) {
	j.attentionGrad = a
	limit, size, keys := waveTiles*len(p.workers), a.gradTileSize(), 0
	for lo := 0; lo < len(a.seqs); lo += a.per {
		seqs := a.seqs[lo:][:a.per]
		for _, s := range seqs {
			keys = max(keys, a.keySumsSize(seqs)+a.keySegmentSize(s))
		}
	}
	j.memory = grow(j.memory, keys+limit*size)
	j.tiles = grow(j.tiles, limit)
	for i := range j.tiles {
		j.tiles[i] = a.newGradTile(j.memory[keys+i*size:])
	}
	for lo := 0; lo < len(a.seqs); lo += a.per {
		seqs := a.seqs[lo:][:a.per]
		for g := range a.K.Shape[1] {
			sums, buf := a.newKeySums(seqs, g, j.memory)
			for _, s := range seqs {
				j.sequence(p, s, sums, buf)
			}
			sums.round(&a.DK, &a.DV)
		}
	}
	j.attentionGrad = nil
}

// sequence computes the gradients of one sequence under key head sums.g.
func (j *attentionGradSplit[T]) sequence(p *pool, s tile, sums keySums[T], buf []T) {
	group := j.Q.Shape[1] / j.K.Shape[1]
	j.clearUnseen(s, sums.g)
	j.segment = j.newKeySegment(s, sums, buf)
	for x := &j.segment; x.first < s.most; x.first += gradSegment {
		j.pack(x)
		j.wave = j.tiles[:0]
		for h := sums.g * group; h < (sums.g+1)*group; h++ {
			for lo, hi := j.rows(s, s.lo); lo < s.hi; lo, hi = j.rows(s, hi) {
				j.wave = j.wave[:len(j.wave)+1]
				t := &j.wave[len(j.wave)-1]
				t.h, t.lo, t.hi = h, lo, hi
				if len(j.wave) == len(j.tiles) {
					j.flush(p)
				}
			}
		}
		j.flush(p)
	}
}

// flush computes the tiles of the wave, adds them to DK and DV, and empties the
// wave.
func (j *attentionGradSplit[T]) flush(p *pool) {
	p.run(len(j.wave), 1, j)
	p.run(2*ceil(j.segment.n, gradKeys), 1, (*attentionKeyGrads[T])(j))
	j.wave = j.tiles[:0]
}

func (j *attentionGradSplit[T]) run(_ *worker, lo, hi int) {
	for ; lo < hi; lo++ {
		j.tile(&j.segment, &j.wave[lo])
	}
}

// attentionKeyGrads is the job over the segment's rows of DK, then those of DV.
type attentionKeyGrads[T number] attentionGradSplit[T]

func (j *attentionKeyGrads[T]) run(_ *worker, lo, hi int) {
	parts := ceil(j.segment.n, gradKeys)
	for ; lo < hi; lo++ {
		from := lo % parts * gradKeys
		to := min(from+gradKeys, j.segment.n)
		for i := range j.wave {
			t := &j.wave[i]
			if lo < parts {
				j.keyGrads(&j.segment, t, &j.segment.sums.dk, t.ds, t.query, from, to)
			} else {
				j.keyGrads(&j.segment, t, &j.segment.sums.dv, t.p, t.dOut, from, to)
			}
		}
	}
}
