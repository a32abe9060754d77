package cuda_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

// schedules are the orders in which the emulator runs streams and threads.
var schedules = []string{"fifo", "reverse", "random:1", "random:2"}

// underAllSchedules runs the test on the emulated device, with and without check mode.
func underAllSchedules(t *testing.T, test func(t *testing.T, check bool)) {
	emulated(t)
	for _, schedule := range schedules {
		for _, check := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,check=%t", schedule, check), func(t *testing.T) {
				t.Setenv("AHA_EMU_SCHEDULE", schedule)
				if check {
					t.Setenv("AHA_EMU_CHECK", "1")
				}
				test(t, check)
			})
		}
	}
}

func TestQueuesUnderAllSchedules(t *testing.T) {
	underAllSchedules(t, func(t *testing.T, _ bool) { backendtest.Queues(t, backendtest.Open(t, "cuda:0")) })
}

// queue returns another queue of d's device.
func (d *device) queue() *device {
	d.Helper()
	q, err := backend.NewQueue(d.Backend)
	d.must(err)
	return &device{d.TB, q, d.rng}
}

// after makes later work of d wait for the work queued on q so far.
func (d *device) after(q *device) {
	d.Helper()
	e, err := backend.NewEvent(q.Backend)
	d.must(err)
	d.must(backend.Wait(d.Backend, e))
	e.Free()
}

// Without the event, the second queue reads the previous content.
func TestAMissingEventBetweenQueuesShows(t *testing.T) {
	underAllSchedules(t, func(t *testing.T, check bool) {
		for _, bug := range []bool{false, true} {
			if bug && check && !inChild(t) { // check mode's error is sticky
				continue
			}
			d := on(t, "cuda:0", 1)
			q := d.queue()
			x := d.operand(backend.F32, func(int) float64 { return 1 }, 100)
			y := d.operand(backend.F32, func(int) float64 { return 1 }, 100)
			d.must(d.Sync())
			q.after(d)
			q.do(&backend.Fill{Dst: x, Value: 2})
			if !bug {
				d.after(q)
			}
			d.do(&backend.Copy{Dst: y, Src: x})
			values, err := backend.Values(d.Backend, y)
			err = errors.Join(err, q.Sync())
			switch {
			case !bug && (err != nil || values[99] != 2):
				t.Errorf("with the event: %v, error %v", values[99], err)
			case bug && check && (err == nil || !strings.Contains(err.Error(), "no event between them")):
				t.Errorf("without the event: error %v", err)
			case bug && !check && err == nil && values[99] == 2:
				t.Error("without the event: the right result")
			}
		}
	})
}

func TestCopiesDoNotWaitForTheOpsOfAnotherQueue(t *testing.T) {
	d := emulatedDevice(t)
	q := d.queue()
	x := d.normal(backend.F32, 1000)
	d.must(d.Sync())
	d.do(&backend.Fill{Dst: x}, &backend.Fill{Dst: x, Value: 1})
	computed, err := backend.NewEvent(d.Backend)
	d.must(err)
	defer computed.Free()
	y := q.normal(backend.F32, 1000)
	q.bits(y)
	q.must(q.Sync())
	if done, err := computed.Done(); done || err != nil { // the emulator runs work only when something waits for it
		t.Errorf("a copy on another queue waited for the ops; error %v", err)
	}
	d.must(computed.Sync())
	if done, err := computed.Done(); !done || err != nil {
		t.Errorf("after Sync: done %t, error %v", done, err)
	}
}

func TestClosingAQueueLeavesTheOthers(t *testing.T) {
	d := emulatedDevice(t)
	_, first := d.MemInfo()
	for range 20 {
		q := d.queue()
		x, err := q.Alloc(4 * 5000)
		q.must(err)
		v := backend.NewView(x, backend.F32, 5000)
		q.do(&backend.Fill{Dst: v, Value: 7}) // not yet run when the queue is closed
		q.must(q.Close())
		if got := d.values(v)[4999]; got != 7 {
			t.Fatalf("the work of a closed queue: %v, want 7", got)
		}
		if err := q.Do(&backend.Fill{Dst: v}); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("an op on a closed queue: error %v", err)
		}
		d.Free(x)
		q.must(q.Close())
	}
	d.must(d.Sync())
	if _, last := d.MemInfo(); last != first {
		t.Errorf("%d bytes free, at first %d", last, first)
	}
}

func TestClosingTheDeviceClosesItsQueues(t *testing.T) {
	emulated(t)
	b, err := backend.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &device{TB: t, Backend: b}
	q := d.queue()
	x, err := q.Alloc(4)
	d.must(err)
	e, err := backend.NewEvent(q.Backend)
	d.must(err)
	d.must(b.Close())
	for _, on := range []backend.Backend{b, q.Backend} {
		if err := on.Do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 1)}); err == nil ||
			!strings.Contains(err.Error(), "closed") {
			t.Errorf("error %v", err)
		}
		d.must(on.Close())
	}
	q.Free(x)
	if _, err := backend.NewQueue(b); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("NewQueue: error %v", err)
	}
	if _, err := e.Done(); err == nil || !strings.Contains(err.Error(), "the device is closed") {
		t.Errorf("Done of an event: error %v", err)
	}
	if err := e.Sync(); err == nil || !strings.Contains(err.Error(), "the device is closed") {
		t.Errorf("Sync of an event: error %v", err)
	}
	e.Free()
}

// When memory runs out, memory freed on one queue is reused by another, once
// the work that uses it has ended.
func TestMemoryOfOneQueueServesAnotherWhenItRunsOut(t *testing.T) {
	emulated(t)
	t.Setenv("AHA_EMU_MEMORY", "8000000")
	d := on(t, "cuda:0", 1)
	q := d.queue()
	const n = 5 << 20 / 4
	for range 3 {
		for _, on := range []*device{q, d} {
			x, err := on.Alloc(4 * n)
			on.must(err)
			on.do(&backend.Fill{Dst: backend.NewView(x, backend.F32, n), Value: 1})
			on.Free(x)
		}
	}
	d.must(errors.Join(q.Sync(), d.Sync()))
}

func TestEventsAreUsedAgain(t *testing.T) {
	emulated(t)
	t.Setenv("AHA_EMU_FAIL", "cuEventCreate:3")
	d := on(t, "cuda:0", 1)
	q := d.queue()
	for range 100 {
		e, err := backend.NewEvent(d.Backend)
		d.must(err)
		d.must(backend.Wait(q.Backend, e))
		e.Free()
		x, err := d.Alloc(400)
		d.must(err)
		q.do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 100)})
		d.Free(x)
	}
	d.must(q.Sync())
}

func TestAFreedEventPanics(t *testing.T) {
	d := emulatedDevice(t)
	e, err := backend.NewEvent(d.Backend)
	d.must(err)
	e.Free()
	for name, call := range map[string]func(){
		"Done": func() { e.Done() }, "Sync": func() { e.Sync() }, "Free": e.Free,
		"Wait": func() { backend.Wait(d.Backend, e) },
	} {
		func() {
			defer func() {
				if r := recover(); !strings.Contains(fmt.Sprint(r), name+": the event was freed") {
					t.Errorf("%s: panic %v", name, r)
				}
			}()
			call()
		}()
	}
}

// If the event belongs to another device, Wait blocks the caller until it has
// passed.
func TestAnEventOfAnotherDeviceIsWaitedForByTheCaller(t *testing.T) {
	d, other := emulatedDevice(t), on(t, "cuda:0", 2)
	x := other.normal(backend.F32, 1000)
	other.do(&backend.Fill{Dst: x})
	e, err := backend.NewEvent(other.Backend)
	d.must(err)
	defer e.Free()
	d.must(backend.Wait(d.Backend, e))
	if done, err := e.Done(); !done || err != nil {
		t.Errorf("done %t, error %v", done, err)
	}
}
