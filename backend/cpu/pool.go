package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// job is a kernel over an index range [0, n). run is called for disjoint ranges
// that cover it, by several goroutines at once. During a call, w is used by
// that call only.
type job interface {
	run(w *worker, lo, hi int)
}

// worker is the scratch memory of one goroutine, reused from call to call.
type worker struct {
	f32    []float32
	f64    []float64
	i32    []int32
	panels []byte // of the unit that the goroutine computes; see formatted.packAndMultiply
}

// scratch returns n elements of w's memory with undefined content. They are
// valid until the next call of scratch on w for the same type.
func scratch[T number | int32](w *worker, n int) []T {
	switch any(*new(T)).(type) {
	case float32:
		w.f32 = growHuge(w.f32, n)
		return any(w.f32).([]T)
	case float64:
		w.f64 = growHuge(w.f64, n)
		return any(w.f64).([]T)
	}
	w.i32 = growHuge(w.i32, n)
	return any(w.i32).([]T)
}

// pool runs jobs on a fixed set of workers. The first worker is the caller.
type pool struct {
	workers []worker
	helpers []helper // helpers[i] runs worker i+1

	job      job
	n, grain int
	shares   []share // of the workers that take part in the job
	failure  atomic.Pointer[any]

	running atomic.Int32   // number of helpers that were called and have not finished
	done    sync.WaitGroup // the same number, to wait for without spinning
}

// share is the range of a job that one worker processes before it helps others.
// Shares split every op's rows at the same fractions, so that a worker mostly
// reads from its own cache what it wrote in the op before.
type share struct {
	next atomic.Int64 // first index that no worker has taken
	end  int64
	_    [48]byte // pads share to a cache line
}

func newPool(size int) *pool {
	p := &pool{workers: make([]worker, size), helpers: make([]helper, size-1), shares: make([]share, 0, size)}
	for i := range p.helpers {
		h := &p.helpers[i]
		h.wake = make(chan struct{}, 1)
		go func() {
			for h.await() {
				p.work(i + 1)
				h.state.Store(idle)
				p.finish()
			}
		}()
	}
	return p
}

func (p *pool) close() {
	for i := range p.helpers {
		p.helpers[i].post(closed)
	}
}

// run runs j over [0, n) in pieces of grain indices (the last may be shorter).
// If a worker panics, run panics with the same value.
func (p *pool) run(n, grain int, j job) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	pieces := ceil(n, grain)
	if pieces == 1 || len(p.workers) == 1 {
		j.run(&p.workers[0], 0, n)
		return
	}
	p.job, p.n, p.grain = j, n, grain
	p.shares = p.shares[:min(pieces, len(p.workers))]
	for i := range p.shares {
		s := &p.shares[i]
		s.next.Store(int64(grain * (pieces * i / len(p.shares))))
		s.end = int64(min(grain*(pieces*(i+1)/len(p.shares)), n))
	}
	helpers := p.helpers[:len(p.shares)-1]
	p.running.Store(int32(len(helpers)))
	p.done.Add(len(helpers))
	for i := range helpers {
		helpers[i].post(called)
	}
	p.work(0)
	for i := range helpers {
		if helpers[i].state.CompareAndSwap(called, idle) { // the helper has not started: its work is done already
			p.finish()
		}
	}
	for spin := 0; spin < spins && p.running.Load() > 0; spin++ {
		pause(spin)
	}
	p.done.Wait()
	p.job = nil
	if r := p.failure.Swap(nil); r != nil {
		panic(*r)
	}
}

func (p *pool) finish() {
	p.running.Add(-1)
	p.done.Done()
}

// work processes the pieces of worker i's share, then those of the other
// shares, until none are left.
func (p *pool) work(i int) {
	defer func() {
		if r := recover(); r != nil {
			failure := r // a copy, so that r itself stays off the heap
			p.failure.CompareAndSwap(nil, &failure)
			for i := range p.shares { // drop the remaining pieces
				p.shares[i].next.Store(p.shares[i].end)
			}
		}
	}()
	for k := range p.shares {
		s := &p.shares[(i+k)%len(p.shares)]
		for {
			hi := s.next.Add(int64(p.grain))
			lo := hi - int64(p.grain)
			if lo >= s.end {
				break
			}
			p.job.run(&p.workers[i], int(lo), int(min(hi, s.end)))
		}
	}
}

// Waking a sleeping thread takes 130 µs on a virtual machine, as long as a whole
// op of a small model. So a helper that waits for the next job, or a caller that
// waits for the helpers, spins for about as long before it sleeps, and regularly
// yields to other goroutines. Longer spins cost more than they gain when other
// programs need the processors.
const (
	spins      = 32768
	yieldEvery = 32
)

func pause(spin int) {
	if spin%yieldEvery == yieldEvery-1 {
		runtime.Gosched()
	}
}

// The states of a helper.
const (
	idle    = iota // spinning between jobs
	asleep         // waiting on wake between jobs
	called         // a job is ready, which the caller withdraws if the helper starts too late
	working        // running a job
	closed         // must return
)

// helper is the state of one worker other than the caller.
type helper struct {
	state atomic.Int32
	wake  chan struct{}
	_     [48]byte // pads helper to a cache line
}

// post sets the state of a helper that is between jobs and wakes it if it
// sleeps.
func (h *helper) post(state int32) {
	if h.state.Swap(state) == asleep {
		h.wake <- struct{}{}
	}
}

// await waits for a job and returns true, or false if the helper is closed.
func (h *helper) await() bool {
	for spin := 0; ; spin++ {
		switch h.state.Load() {
		case called:
			if h.state.CompareAndSwap(called, working) {
				return true
			}
		case closed:
			return false
		case idle:
			if spin < spins {
				pause(spin)
			} else if h.state.CompareAndSwap(idle, asleep) {
				<-h.wake
				spin = 0
			}
		}
	}
}
