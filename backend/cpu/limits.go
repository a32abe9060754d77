package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Limits are what the machine does at best with a number of threads, whatever
// the kernels make of it.
type Limits struct {
	// Operations a second, two for each multiplication and addition: of float32,
	// of BF16 dot products and of 8-bit dot products. The latter two are 0 on
	// paths without such instructions.
	F32, BF16, Int8 float64
	// ReadBandwidth is how many bytes a second come from memory beyond the caches.
	ReadBandwidth float64
}

// Meter measures the limits of the machine again and again, so that a benchmark
// can do so between its runs: on a shared machine they change from second to
// second. Each method runs a loop on every thread for a given time, in several
// intervals, and returns the best interval's rate.
type Meter struct {
	threads int
	parts   [][]byte // of the memory that ReadBandwidth reads, one a thread
	at      []int    // where each goes on
}

const (
	readBytes = 512 << 20 // well beyond any last-level cache
	readChunk = 1 << 20   // read between two looks at the clock
	intervals = 8
	loopTime  = 20 * time.Microsecond // of computation between two looks at the clock, at least
)

// NewMeter returns a meter of the given number of threads; 0 means GOMAXPROCS.
func NewMeter(threads int) *Meter {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Meter{threads: threads}
}

// F32 is the rate of float32 multiply-adds in operations a second.
func (m *Meter) F32(d time.Duration) float64 { return m.compute(d, asm.FMALoop) }

// BF16 is the rate of BF16 dot products in operations a second, 0 on a path
// without them.
func (m *Meter) BF16(d time.Duration) float64 { return m.compute(d, asm.DotLoopBF16) }

// Int8 is the rate of 8-bit dot products in operations a second, 0 on a path
// without them.
func (m *Meter) Int8(d time.Duration) float64 { return m.compute(d, asm.DotLoopInt8) }

// compute is the rate of a loop in registers, which runs n rounds and returns
// the number of operations they take.
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

// ReadBandwidth is the rate of reading memory in ascending order, each thread a
// part of its own, in bytes a second. The first call allocates that memory.
func (m *Meter) ReadBandwidth(d time.Duration) float64 {
	if m.parts == nil {
		m.parts, m.at = make([][]byte, m.threads), make([]int, m.threads)
		for i := range m.parts {
			m.parts[i] = make([]byte, max(readBytes/m.threads/readChunk, 1)*readChunk)
			adviseHuge(m.parts[i]) // as buffers are
			for at := 0; at < len(m.parts[i]); at += 4096 {
				m.parts[i][at] = 1 // pages never written to are all the same one
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

// best is the highest rate of several intervals that take d together.
func (m *Meter) best(d time.Duration, work func(thread int) (amount int)) float64 {
	highest := 0.0
	for range intervals {
		highest = max(highest, m.interval(d/intervals, work))
	}
	return highest
}

// interval lets all threads work for at least d, beginning together, and returns
// what they did a second, from when the first began until the last ended: threads
// that take turns on one core are not worth several.
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
