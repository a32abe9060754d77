package tokenizer

import "hash/maphash"

// cached holds the tokens of a short piece.
type cached struct {
	piece [30]byte
	size  uint8 // length of piece; 0 marks a free entry
	count uint8 // number of ids
	ids   [6]int32
}

// cacheSets is the number of sets of two entries in a cache of 2 MiB.
const cacheSets = 1 << 14

// cache stores the tokens of recent pieces. Its size is fixed: a new piece replaces the
// second entry of its set, and a piece that is found again moves to the first.
type cache struct {
	seed maphash.Seed
	sets [cacheSets][2]cached
}

// find returns the entry of a piece, or nil, and the set for it.
func (c *cache) find(piece string) (*cached, *[2]cached) {
	set := &c.sets[maphash.String(c.seed, piece)%cacheSets]
	if e := &set[0]; string(e.piece[:e.size]) == piece {
		return e, set
	}
	if e := &set[1]; string(e.piece[:e.size]) == piece {
		set[0], set[1] = set[1], set[0]
		return &set[0], set
	}
	return nil, set
}

// put stores the ids of a piece in its set, if piece and ids are short enough.
func (c *cache) put(set *[2]cached, piece string, ids []int32) {
	e := &set[1]
	if set[0].size == 0 {
		e = &set[0]
	}
	if len(ids) > len(e.ids) {
		return
	}
	e.size, e.count = uint8(copy(e.piece[:], piece)), uint8(copy(e.ids[:], ids))
}
