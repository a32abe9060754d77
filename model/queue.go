package model

import (
	"math"
	"slices"
)

// queue hands the slots of a generator to waiting requests, in their order.
type queue struct {
	requests []Request
	next     int       // the first request that waits
	free     []int     // slots
	last     int       // slot of the request before next
	held     [][]int32 // the tokens by slot whose keys are cached; nil if they are not reused
}

func newQueue(requests []Request, slots int, held [][]int32) *queue {
	q := &queue{requests: requests, free: make([]int, slots), held: held}
	for i := range q.free {
		q.free[i] = slots - 1 - i
	}
	return q
}

// share is a sequence whose prompt is the one in another slot.
type share struct {
	running
	from int
}

// admit gives free slots to waiting requests: fresh ones, whose prompts have to
// be read and have rows tokens together at most, unless there is but one, and
// those with the prompt of the request before, whose keys they share. The last
// token of a shared prompt is left to be read as if it had just been drawn.
func (q *queue) admit(rows int) (fresh []running, shared []share) {
	used := 0
	for ; q.next < len(q.requests) && len(q.free) > 0; q.next++ {
		prompt := q.requests[q.next].Prompt
		n := len(prompt)
		if q.next > 0 && slices.Equal(prompt, q.requests[q.next-1].Prompt) {
			from := q.last
			if at := slices.Index(q.free, from); at >= 0 { // it has ended: its slot is as good as a copy
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

// best is the place in free of the slot that a prompt takes, and how many tokens of its
// beginning the slot has, fewer than the prompt: the last one has to be read. Of all slots it
// has the most of these, less the tokens that are overwritten.
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

// keep notes that all but n tokens of the slot last are overwritten.
func (q *queue) keep(n int) {
	if q.held != nil {
		q.held[q.last] = q.held[q.last][:n]
	}
}

// take removes the slot at a place from the free ones.
func (q *queue) take(at int) int {
	slot := q.free[at]
	q.free = slices.Delete(q.free, at, at+1)
	return slot
}

// waiting reports whether a request has no slot yet.
func (q *queue) waiting() bool { return q.next < len(q.requests) }
