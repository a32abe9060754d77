package cuda_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

// schedules of the emulator: the orders in which streams and threads run.
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

// queue is another queue of d's device.
func (d *device) queue() *device {
	d.Helper()
	q, err := backend.NewQueue(d.Backend)
	d.must(err)
	return &device{d.TB, q, d.rng}
}

// after makes later work of d wait for what q holds now.
func (d *device) after(q *device) {
	d.Helper()
	e, err := backend.NewEvent(q.Backend)
	d.must(err)
	d.must(backend.Wait(d.Backend, e))
	e.Free()
}

// Without the event the second queue finds what was there before.
func TestAMissingEventBetweenQueuesShows(t *testing.T) {
	underAllSchedules(t, func(t *testing.T, check bool) {
		for _, bug := range []bool{false, true} {
			if bug && check && !inChild(t) { // the error is sticky
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
