package cpu

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/aha-go/aha/backend"
)

// ledger counts the memory of one CPU's buffers by holder and keeps it within
// limits.
type ledger struct {
	limits []limit
	held   map[backend.Holder]int // bytes
	used   int                    // sum of held
	closed bool
}

// limit is a number of bytes that buffers may take together.
type limit struct {
	bytes  int
	source string // where it comes from
	own    bool   // bounds this CPU alone, not all of the process
}

var (
	// processUsed is the memory of the buffers of all open CPUs.
	processUsed atomic.Int64
	// uncollected is the memory of freed buffers that the garbage collector may
	// not have returned yet.
	uncollected atomic.Int64
)

// The garbage collector runs when freed buffers exceed minGarbage bytes and 1/garbageShare
// of the memory in use.
const (
	minGarbage   = 64 << 20
	garbageShare = 32
)

// take counts bytes for h, or returns an error if they exceed a limit.
func (l *ledger) take(h backend.Holder, bytes int) error {
	tight, room := l.room()
	if tight != nil && bytes > room {
		return l.exceeded(tight, h, bytes)
	}
	// Freed buffers count as free at once, but small ones stay resident until they are
	// collected. Collect them before they and the buffers in use exceed the limit together,
	// or make the process noticeably larger than the buffers in use.
	garbage := int(uncollected.Load())
	if garbage > 0 && tight != nil && bytes > room-garbage || garbage > max(minGarbage,
		int(processUsed.Load())/garbageShare) {
		debug.FreeOSMemory()
		uncollected.Store(0)
	}
	l.add(h, bytes)
	return nil
}

// give counts bytes of h as free.
func (l *ledger) give(h backend.Holder, bytes int) {
	if l.closed { // the process counts them as free already
		return
	}
	l.add(h, -bytes)
	uncollected.Add(int64(bytes))
}

func (l *ledger) add(h backend.Holder, bytes int) {
	l.held[h] += bytes
	l.used += bytes
	processUsed.Add(int64(bytes))
}

// close counts all memory as free for the rest of the process.
func (l *ledger) close() {
	l.closed = true
	processUsed.Add(int64(-l.used))
	uncollected.Add(int64(l.used))
}

// room is the number of bytes left below the limit that has the fewest left; nil
// without limits.
func (l *ledger) room() (tight *limit, room int) {
	for i := range l.limits {
		lim := &l.limits[i]
		if left := lim.bytes - l.usedOf(lim); tight == nil || left < room {
			tight, room = lim, left
		}
	}
	return tight, max(room, 0)
}

// usedOf is the memory that counts against lim.
func (l *ledger) usedOf(lim *limit) int {
	if lim.own {
		return l.used
	}
	return int(processUsed.Load())
}

// exceeded is the error of an allocation that lim has no room for.
func (l *ledger) exceeded(lim *limit, h backend.Holder, bytes int) error {
	used := l.usedOf(lim)
	err := fmt.Sprintf("cpu: out of memory: %s for %s do not fit: the budget is %s (%s), %s are in use",
		backend.FormatBytes(bytes), h, backend.FormatBytes(lim.bytes), lim.source, backend.FormatBytes(used))
	holders := backend.Memory{By: l.held}.Holders()
	if others := used - l.used; others > 0 {
		holders = append(holders, "other CPU backends of this process "+backend.FormatBytes(others))
	}
	if len(holders) > 0 {
		err += ": " + strings.Join(holders, ", ")
	}
	return errors.New(err)
}
