package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Limits are the highest rates that the machine reaches with a number of
// threads, independently of this package's kernels.
type Limits struct {
	// F32, BF16 and Int8 are operations per second, two for each multiply-add,
	// of float32 arithmetic, BF16 dot products and 8-bit dot products. BF16 and
	// Int8 are 0 if the kernel path has no such instructions.
	F32, BF16, Int8 float64
	// ReadBandwidth is the rate of reading memory beyond the caches, in bytes
	// per second.
	ReadBandwidth float64
}

// Meter measures the limits of the machine repeatedly, so that a benchmark can
// do so between its runs: on a shared machine they change from second to
// second. Each method runs a loop on every thread for the given time, in
// several intervals, and returns the rate of the best interval.
type Meter struct {
	threads int
	parts   [][]byte // the memory that ReadBandwidth reads, by thread
	at      []int    // where each thread continues
}

const (
	readBytes = 512 << 20 // much more than any last-level cache
	readChunk = 1 << 20   // bytes read between two looks at the clock
	intervals = 8
	loopTime  = 20 * time.Microsecond // minimum time of computation between two looks at the clock
)

// NewMeter returns a meter with the given number of threads; 0 means
// GOMAXPROCS.
func NewMeter(threads int) *Meter {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Meter{threads: threads}
}

// F32 returns the rate of float32 multiply-adds in operations per second.
func (m *Meter) F32(d time.Duration) float64 { return m.compute(d, asm.FMALoop) }

// BF16 returns the rate of BF16 dot products in operations per second, or 0 if
// the kernel path has none.
func (m *Meter) BF16(d time.Duration) float64 { return m.compute(d, asm.DotLoopBF16) }

// Int8 returns the rate of 8-bit dot products in operations per second, or 0 if
// the kernel path has none.
func (m *Meter) Int8(d time.Duration) float64 { return m.compute(d, asm.DotLoopInt8) }

// compute returns the rate of a loop in registers. loop runs n rounds and
// returns their number of operations.
func (m *Meter) compute(d time.Duration, loop func(n int) (ops int)) float64 {
	if loop(1) == 0 {
		return 0
	}
	rounds := 1
	for took := time.Duration(0); took < loopTime; rounds *= 2 {
		began := time.Now()
		loop(rounds)
		took = time.Since(began)
	}
	return m.best(d, func(int) int { return loop(rounds) })
}

// ReadBandwidth returns the rate of reading memory in ascending order in bytes
// per second. Each thread reads its own part. The first call allocates the
// memory.
func (m *Meter) ReadBandwidth(d time.Duration) float64 {
	if m.parts == nil {
		m.parts, m.at = make([][]byte, m.threads), make([]int, m.threads)
		for i := range m.parts {
			m.parts[i] = make([]byte, max(readBytes/m.threads/readChunk, 1)*readChunk)
			adviseHuge(m.parts[i]) // huge pages, as for buffers
			for at := 0; at < len(m.parts[i]); at += 4096 {
				m.parts[i][at] = 1 // pages that were never written all map to one zero page
			}
		}
	}
	return m.best(d, func(thread int) int {
		at := m.at[thread]
		asm.ReadLoop(m.parts[thread][at:][:readChunk])
		m.at[thread] = (at + readChunk) % len(m.parts[thread])
		return readChunk
	})
}

// best returns the highest rate of several intervals that take d together.
func (m *Meter) best(d time.Duration, work func(thread int) (amount int)) float64 {
	highest := 0.0
	for range intervals {
		highest = max(highest, m.interval(d/intervals, work))
	}
	return highest
}

// interval lets all threads start together and work for at least d each. It
// returns the total amount per second from the first start to the last end, so
// that threads that take turns on one core do not count as several.
func (m *Meter) interval(d time.Duration, work func(thread int) (amount int)) float64 {
	type span struct {
		amount     int
		began, end time.Time
	}
	spans := make([]span, m.threads)
	var waiting atomic.Int32
	waiting.Store(int32(m.threads))
	var done sync.WaitGroup
	for i := range spans {
		done.Go(func() {
			for waiting.Add(-1); waiting.Load() > 0; {
				runtime.Gosched()
			}
			s := span{began: time.Now()}
			for s.amount == 0 || s.end.Sub(s.began) < d {
				s.amount += work(i)
				s.end = time.Now()
			}
			spans[i] = s
		})
	}
	done.Wait()
	all := spans[0]
	for _, s := range spans[1:] {
		all.amount += s.amount
		if s.began.Before(all.began) {
			all.began = s.began
		}
		if s.end.After(all.end) {
			all.end = s.end
		}
	}
	return float64(all.amount) / all.end.Sub(all.began).Seconds()
}
