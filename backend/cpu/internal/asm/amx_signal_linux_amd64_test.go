//go:build !noasm

package asm

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTilesSurviveSignalsAndGCOnAMX multiplies on more threads than there are
// cores while preemption signals arrive and the garbage collector stops the
// world. The operating system must save the tiles of a thread that it
// interrupts, and no goroutine may move to another thread inside a kernel.
func TestTilesSurviveSignalsAndGCOnAMX(t *testing.T) {
	if !haveTiles() {
		t.Skip("this processor or system has no AMX tiles")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 * runtime.NumCPU()))
	const m, n, k, goroutines, products = 230, 500, 1100, 12, 20
	rng := newRand(t)
	a, _, bp := operandsBF16(rng, m, n, k)
	want := make([]float32, m*n)
	gemmBF16AMX(m, n, k, a, k, bp, want, n, false)

	stop := make(chan struct{})
	var disturbers, workers sync.WaitGroup
	disturb := func(f func()) {
		disturbers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	signals := 0
	disturb(func() { // send a signal to every thread
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Error(err)
		}
		for _, thread := range threads {
			if id, err := strconv.Atoi(thread.Name()); err == nil && unix.Tgkill(os.Getpid(), id, unix.SIGURG) == nil {
				signals++
			}
		}
	})
	disturb(runtime.GC)
	garbage := make([][]byte, 16)
	next := 0
	disturb(func() {
		garbage[next%len(garbage)] = make([]byte, 1<<16)
		next++
	})
	for range goroutines {
		workers.Go(func() {
			got := make([]float32, m*n)
			for range products {
				clear(got)
				gemmBF16AMX(m, n, k, a, k, bp, got, n, false)
				if !slices.Equal(got, want) {
					t.Error("a product differs from the one that nothing disturbed")
					return
				}
				runtime.Gosched()
			}
		})
	}
	workers.Wait()
	close(stop)
	disturbers.Wait()
	t.Logf("%d signals", signals)
	if signals == 0 {
		t.Error("no signal was sent")
	}
}
