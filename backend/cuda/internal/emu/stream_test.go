//go:build linux && amd64

package emu

import (
	"runtime"
	"sync"
	"testing"
)

// Kernels run while other threads run Go code, collect garbage and are
// preempted.
func TestSeveralThreadsShareTheDevice(t *testing.T) {
	for _, check := range []string{"0", "1"} {
		e := open(t, "AHA_EMU_CHECK="+check)
		f := e.kernel(sumSource, "sum")
		var context uintptr
		e.must("cuCtxGetCurrent", &context)
		const n, rounds = 4096, 30
		x := make([]float32, n)
		for i := range x {
			x[i] = 1
		}
		at := upload(e, x)
		e.must("cuStreamSynchronize", e.stream)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
				own := *e
				if code := own.call("cuCtxSetCurrent", context); code != success {
					t.Errorf("cuCtxSetCurrent: code %d", code)
					return
				}
				var out uintptr
				own.call("cuStreamCreate", &own.stream, 1)
				own.call("cuMemAlloc_v2", &out, 4*n/256)
				got := make([]float32, n/256)
				for range rounds {
					if code := own.tryLaunch(f, own.stream, dims{n / 256}, dims{256}, 0, at, out, n); code != success {
						t.Errorf("launch: code %d", code)
					}
					own.call("cuMemcpyDtoHAsync_v2", &got[0], out, 4*len(got), own.stream)
					for i, v := range got {
						if v != 256 {
							t.Errorf("block %d: %v", i, v)
						}
					}
					runtime.GC()
				}
			})
		}
		group.Wait()
	}
}

func TestStreamsRunWhenTheHostWaits(t *testing.T) {
	e := open(t)
	f := e.kernel(addSource, "add")
	x := upload(e, []float32{1})
	var from, to uintptr
	e.must("cuEventCreate", &from, 0)
	e.must("cuEventCreate", &to, 0)
	var ms float32
	e.want(invalidHandle, "cuEventElapsedTime", &ms, from, to) // neither event was recorded
	e.must("cuStreamSynchronize", e.stream)
	e.must("cuEventRecord", from, e.stream)
	for range 3 {
		e.launch(f, dims{1}, dims{1}, 0, x, x, x, 1)
	}
	e.must("cuEventRecord", to, e.stream)
	e.want(notReady, "cuEventElapsedTime", &ms, from, to)
	// Each query runs one operation, so polling ends.
	polls := 0
	for e.call("cuEventQuery", to) == notReady {
		polls++
	}
	if polls != 5 {
		t.Errorf("%d polls for 5 operations", polls)
	}
	e.must("cuStreamQuery", e.stream)
	e.must("cuEventElapsedTime", &ms, from, to)
	if ms <= 0 {
		t.Errorf("%v ms", ms)
	}
	if got := download[float32](e, x, 1)[0]; got != 8 {
		t.Errorf("%v, want 8", got)
	}
}

func TestAnEventHoldsTheWorkBeforeIt(t *testing.T) {
	e := open(t)
	f := e.kernel(addSource, "add")
	var host *[1]float32
	e.must("cuMemHostAlloc", &host, 4, 0)
	x := upload(e, []float32{1})
	var event uintptr
	e.must("cuEventCreate", &event, 2)
	e.must("cuEventSynchronize", event) // the event was never recorded, so there is nothing to wait for
	e.launch(f, dims{1}, dims{1}, 0, x, x, x, 1)
	e.must("cuMemcpyDtoHAsync_v2", host, x, 4, e.stream)
	e.must("cuEventRecord", event, e.stream)
	e.launch(f, dims{1}, dims{1}, 0, x, x, x, 1)
	e.must("cuMemcpyDtoHAsync_v2", host, x, 4, e.stream)
	e.must("cuEventSynchronize", event)
	if host[0] != 2 {
		t.Errorf("after the event: %v, want 2", host[0])
	}
	e.must("cuCtxSynchronize")
	if host[0] != 4 {
		t.Errorf("after everything: %v, want 4", host[0])
	}
	e.must("cuEventDestroy_v2", event)
	e.want(invalidHandle, "cuEventRecord", event, e.stream)
}

func TestUnloadingAModuleWaitsForItsKernels(t *testing.T) {
	e := open(t)
	m := e.module(addSource)
	f := e.function(m, "add")
	x := upload(e, []float32{1})
	e.launch(f, dims{1}, dims{1}, 0, x, x, x, 1)
	e.must("cuModuleUnload", m)
	if got := download[float32](e, x, 1)[0]; got != 2 {
		t.Errorf("%v, want 2", got)
	}
	if code := e.tryLaunch(f, e.stream, dims{1}, dims{1}, 0, x, x, x, 1); code != invalidHandle {
		t.Errorf("a kernel of an unloaded module: code %d", code)
	}
}
