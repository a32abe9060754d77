package emu

import "testing"

func TestStreamsRunWhenTheHostWaits(t *testing.T) {
	e := open(t)
	f := e.kernel(addSource, "add")
	x := upload(e, []float32{1})
	var from, to uintptr
	e.must("cuEventCreate", &from, 0)
	e.must("cuEventCreate", &to, 0)
	var ms float32
	e.want(invalidHandle, "cuEventElapsedTime", &ms, from, to) // neither recorded
	e.must("cuStreamSynchronize", e.stream)
	e.must("cuEventRecord", from, e.stream)
	for range 3 {
		e.launch(f, dims{1}, dims{1}, 0, x, x, x, 1)
	}
	e.must("cuEventRecord", to, e.stream)
	e.want(notReady, "cuEventElapsedTime", &ms, from, to)
	// Polling runs one operation at a time and ends.
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
	e.must("cuEventSynchronize", event) // never recorded: nothing to wait for
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
