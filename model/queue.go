package model

import (
	"math"
	"slices"
)

// queue assigns the slots of a generator to waiting requests, in order.
type queue struct {
	requests []Request
	next     int       // index of the first waiting request
	free     []int     // free slots
	last     int       // slot of request next−1
	held     [][]int32 // tokens whose keys are cached, by slot; nil if keys are not reused
}

func newQueue(requests []Request, slots int, held [][]int32) *queue {
	q := &queue{requests: requests, free: make([]int, slots), held: held}
	for i := range q.free {
		q.free[i] = slots - 1 - i
	}
	return q
}

// share is a sequence with the same prompt as the sequence in slot from.
type share struct {
	running
	from int
}

// admit assigns free slots to waiting requests. fresh are those whose prompts must be
// prefilled; rows is the prefill budget in tokens, and a single longer prompt is admitted
// alone. shared are those with the same prompt as the request before them, whose keys they
// copy, except for the last token, which is read in the next decode step as if it had just
// been drawn.
func (q *queue) admit(rows int) (fresh []running, shared []share) {
	used := 0
	for ; q.next < len(q.requests) && len(q.free) > 0; q.next++ {
		prompt := q.requests[q.next].Prompt
		n := len(prompt)
		if q.next > 0 && slices.Equal(prompt, q.requests[q.next-1].Prompt) {
			from := q.last
			if at := slices.Index(q.free, from); at >= 0 { // that sequence has ended: take its slot instead of copying
				q.free = slices.Delete(q.free, at, at+1)
			} else {
				q.last = q.take(len(q.free) - 1)
				q.keep(0)
			}
			shared = append(shared, share{running{request: q.next, slot: q.last, length: n - 1, last: prompt[n-1]}, from})
			continue
		}
		at, reused := q.best(prompt)
		if used > 0 && used+n-reused > rows {
			break
		}
		used += n - reused
		q.last = q.take(at)
		q.keep(reused)
		fresh = append(fresh, running{request: q.next, slot: q.last, length: n, reused: reused})
	}
	return fresh, shared
}

// best returns the index in free of the best slot for a prompt, and the number of the
// prompt's first tokens whose keys the slot has. That number is less than the prompt's
// length, because the last token must be read. The best slot has the most such tokens,
// minus its other cached tokens, which will be overwritten.
func (q *queue) best(prompt []int32) (at, reused int) {
	at = len(q.free) - 1
	if q.held == nil {
		return at, 0
	}
	best := math.MinInt
	for i, slot := range slices.Backward(q.free) {
		held, n := q.held[slot], 0
		for n < min(len(held), len(prompt)-1) && held[n] == prompt[n] {
			n++
		}
		if worth := n - (len(held) - n); worth > best {
			at, reused, best = i, n, worth
		}
	}
	return at, reused
}

// keep records that slot last keeps only its first n tokens; the others will be
// overwritten.
func (q *queue) keep(n int) {
	if q.held != nil {
		q.held[q.last] = q.held[q.last][:n]
	}
}

// take removes the slot at an index of free and returns it.
func (q *queue) take(at int) int {
	slot := q.free[at]
	q.free = slices.Delete(q.free, at, at+1)
	return slot
}

// waiting reports whether a request has no slot yet.
func (q *queue) waiting() bool { return q.next < len(q.requests) }
