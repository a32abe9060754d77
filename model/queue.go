package model

import "slices"

// queue hands the slots of a generator to waiting requests, in their order.
type queue struct {
	requests []Request
	next     int   // the first request that waits
	free     []int // slots
	last     int   // slot of the request before next
}

func newQueue(requests []Request, slots int) *queue {
	q := &queue{requests: requests, free: make([]int, slots)}
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
				q.last = q.take()
			}
			shared = append(shared, share{running{request: q.next, slot: q.last, length: n - 1, last: prompt[n-1]}, from})
			continue
		}
		if used > 0 && used+n > rows {
			break
		}
		used += n
		q.last = q.take()
		fresh = append(fresh, running{request: q.next, slot: q.last, length: n})
	}
	return fresh, shared
}

// take removes a slot from the free ones.
func (q *queue) take() int {
	slot := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	return slot
}

// waiting reports whether a request has no slot yet.
func (q *queue) waiting() bool { return q.next < len(q.requests) }
