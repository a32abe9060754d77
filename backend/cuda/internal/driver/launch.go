package driver

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// Dim is the size of a grid in blocks, or of a block in threads. A Y or Z of 0
// means 1.
type Dim struct{ X, Y, Z int }

func (d Dim) full() Dim { return Dim{d.X, max(d.Y, 1), max(d.Z, 1)} }

// LaunchInfo describes a launch in errors.
type LaunchInfo struct {
	Kernel      string
	Grid, Block Dim // zero if another library chose them
	Shared      int // bytes of dynamic shared memory
	Stream      Stream
}

func (l LaunchInfo) String() string {
	g, b := l.Grid, l.Block
	if g.X == 0 { // queued by another library
		return fmt.Sprintf("%s on stream %#x", l.Kernel, uintptr(l.Stream))
	}
	return fmt.Sprintf("%s<<<(%d,%d,%d), (%d,%d,%d), %d>>> on stream %#x",
		l.Kernel, g.X, g.Y, g.Z, b.X, b.Y, b.Z, l.Shared, uintptr(l.Stream))
}

// Launch runs f on grid × block threads, with shared bytes of dynamic shared
// memory, in order with the work of s. It returns a to the pool: a must not be
// used afterwards. An error that occurs while the kernel runs is returned by a
// later call and names the launch.
func (d *Driver) Launch(f *Function, grid, block Dim, shared int, s Stream, a *Args) error {
	grid, block = grid.full(), block.full()
	a.params[a.n] = 0
	a.call = [...]uintptr{
		f.handle,
		uintptr(grid.X), uintptr(grid.Y), uintptr(grid.Z),
		uintptr(block.X), uintptr(block.Y), uintptr(block.Z),
		uintptr(shared), uintptr(s),
		uintptr(unsafe.Pointer(&a.params)), 0,
	}
	r := Result(dynlib.Call(d.fn[cuLaunchKernel], a.call[:]...))
	runtime.KeepAlive(a)
	a.n, a.used = 0, 0
	d.args.Put(a)
	info := LaunchInfo{f.Name, grid, block, shared, s}
	if r != success {
		return d.failure(cuLaunchKernel, r, info.String())
	}
	d.launches.add(info)
	return nil
}

// Queued records that another library has queued work on s, so that errors can
// name it. name is the call and what it computes.
func (d *Driver) Queued(name string, s Stream) { d.launches.add(LaunchInfo{Kernel: name, Stream: s}) }

// ring holds the newest launches, except those that a synchronization has shown
// to have succeeded.
type ring struct {
	mu   sync.Mutex
	list [16]LaunchInfo // an entry with an empty kernel name is unused
	next int
}

func (r *ring) add(l LaunchInfo) {
	r.mu.Lock()
	r.list[r.next] = l
	r.next = (r.next + 1) % len(r.list)
	r.mu.Unlock()
}

// forget drops all launches.
func (r *ring) forget() {
	r.mu.Lock()
	clear(r.list[:])
	r.mu.Unlock()
}

// forgetStream drops the launches of s.
func (r *ring) forgetStream(s Stream) {
	r.mu.Lock()
	for i := range r.list {
		if r.list[i].Stream == s {
			r.list[i] = LaunchInfo{}
		}
	}
	r.mu.Unlock()
}

// pending returns the launches in the ring, newest last.
func (r *ring) pending() []LaunchInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []LaunchInfo
	for i := range r.list {
		if l := r.list[(r.next+i)%len(r.list)]; l.Kernel != "" {
			list = append(list, l)
		}
	}
	return list
}
