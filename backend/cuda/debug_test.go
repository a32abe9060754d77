package cuda_test

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// three queues three ops, the second of which is the given one. It returns the
// first error, and the name of the op that returned it, or Sync.
func three(d *device, second backend.Op) (call string, err error) {
	y := d.normal(backend.F32, 64)
	for _, op := range []backend.Op{
		&backend.Fill{Dst: y, Value: 1}, second, &backend.Unary{Y: y, X: y, Fn: backend.Exp},
	} {
		if err := d.Do(op); err != nil {
			return op.Name(), err
		}
	}
	return "Sync", d.Sync()
}

// A kernel that fails is named by Sync among those launched before and, in
// debug mode, by Do.
func TestDebugModeNamesTheKernelThatFails(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	for _, o := range []struct {
		debug, fail string
		call        string // the call that returns the error
		has, lacks  string
	}{
		{"", "cuStreamSynchronize:1:700", "Sync", "unary_f32<<<", "kernel iota"},
		{"0", "cuStreamSynchronize:1:700", "Sync", "iota<<<", "kernel iota"},
		{"1", "cuStreamSynchronize:2:700", "Iota", "kernel iota", "fill"},
		{"1", "cuStreamSynchronize:3", "Exp", "kernel unary_f32", "iota"},
	} {
		t.Run(o.debug+"/"+o.fail, func(t *testing.T) {
			t.Setenv("AHA_CUDA_DEBUG", o.debug)
			t.Setenv("AHA_EMU_FAIL", o.fail)
			b, err := backend.Open("cuda:0")
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			d := &device{TB: t, Backend: b, rng: newRand(1)}
			x := d.ints(make([]int, 64)...)
			call, err := three(d, &backend.Iota{Dst: x})
			if call != o.call || err == nil || !strings.Contains(err.Error(), o.has) ||
				strings.Contains(err.Error(), o.lacks) {
				t.Errorf("%s returns %v, want %s to return an error about %q without %q", call, err, o.call, o.has, o.lacks)
			}
		})
	}
}

func TestDebugModeReportsAnIndexOutOfRangeAtItsOp(t *testing.T) {
	for debug, want := range map[string]string{"": "Sync", "1": "Gather"} {
		t.Setenv("AHA_CUDA_DEBUG", debug)
		d := emulatedDevice(t)
		call, err := three(d, &backend.Gather{
			Y: d.normal(backend.F32, 2, 4), X: d.normal(backend.F32, 4, 4), Index: d.ints(1, 7),
		})
		if call != want || err == nil || !strings.Contains(err.Error(), "index 7") {
			t.Errorf("AHA_CUDA_DEBUG=%s: %s returns %v, want %s to report index 7", debug, call, err, want)
		}
	}
}

func TestADebugModeThatIsUnknownIsRefused(t *testing.T) {
	t.Setenv("AHA_CUDA_DEBUG", "yes")
	if _, err := backend.Open("cuda:0"); err == nil || !strings.Contains(err.Error(), `AHA_CUDA_DEBUG is "yes"`) {
		t.Errorf("error %v", err)
	}
}
