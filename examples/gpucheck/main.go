// Command gpucheck checks and times every op of a device: its largest error, beside
// the float64 definition and beside the CPU, and its speed.
//
//	go run ./examples/gpucheck -device cuda:0
//	go run ./examples/gpucheck -device cuda:0 -op MatMul,Attention -json
//	go run ./examples/gpucheck -device cpu -quick
//
// Columns of the table, and fields of the objects that -json prints one a line:
//
//   - error is the largest difference between an element and its definition, over all
//     cases of backendtest.Cases in a dtype of activations, and worst is the case it is
//     from. It is a fraction of the tolerance of that element
//     (backendtest.Tolerances); more than 1 is a miss. An op that must be exact has
//     error 0 or +Inf; in BF16 an element that is rounded the other way has error 1.
//   - cpu is the largest difference from the CPU backend on the same operands, likewise
//     as a fraction of the element's tolerance. Of two that pass it is at most 2.
//   - time is the median of rounds that end with Sync, divided by the ops of a round, on
//     each case of backendtest.BenchCases. GFLOP/s is printed where the op has
//     arithmetic to speak of; GB/s is of operands read and written.
//   - share is the device's limit over the time, and limit the resource that sets it:
//     launch, an op on one element; copy, the bandwidth of a Copy of 64 MiB; matmul, the
//     rate of a MatMul of 2048³ in the same dtype and format. All three are measured on
//     the device and stand in the first lines. They are what this backend reaches, not
//     figures from a data sheet; operands that caches hold may exceed them.
//
// A miss is an error beyond the tolerance, a case that the CPU has and the device
// lacks, and an op that fails while it is timed. Packed forms are the backend's own
// affair: cases of one that it does not pack do not count. Misses are printed below the table, and the
// exit code is 1; so it is where the device does not open, and the message then names
// the libraries and the places where they were looked for. A device that answers nothing
// after a case that failed ends the check: the message names the case. With -json the line
// field is device, check (one for an op and dtype) or time (one for a benchmark case),
// and an infinite error is 1.7976931348623157e+308.
//
// # A kernel of your own
//
// The same cases test a kernel of anyone's. Put it before a backend that has the
// rest, and Check names the case and the element where it is wrong:
//
//	type mine struct{ backend.Decorator }
//
//	func (m mine) Do(op backend.Op) error {
//		if o, ok := op.(*backend.RMSNorm); ok && o.X.DType == backend.F32 {
//			return myRMSNorm(m.Backend, o) // the kernel; errors.ErrUnsupported for layouts it lacks
//		}
//		return m.Backend.Do(op)
//	}
//
//	func TestMine(t *testing.T) {
//		b := mine{backend.Decorator{Backend: backendtest.Open(t, "cpu")}}
//		for _, c := range backendtest.Cases() { // one op, in seconds
//			if r := backendtest.Check(b, c); c.Op == "RMSNorm" && !r.OK() {
//				t.Error(r)
//			}
//		}
//		backendtest.Run(t, b, backendtest.Ops()) // all ops, random cases, decompositions
//
//		// Inside a model, the first op that differs from the reference is an error.
//		both := backendtest.Compare(backendtest.Open(t, "cpu"), b)
//		m, err := model.New(both, model.Tiny(32), 1) // and so on
//	}
//
// The Example of package backendtest is this with a kernel and with a mistake in it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
)

// options are the flags.
type options struct {
	Device string
	Ops    string // separated by commas; "" means all
	Quick  bool
	JSON   bool
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cuda:0", "what to check: cuda:0 or cpu")
	flag.StringVar(&o.Ops, "op", "", "ops, separated by commas (default all)")
	flag.BoolVar(&o.Quick, "quick", false,
		"few cases of each op and small shapes, as for an emulator; the times mean nothing")
	flag.BoolVar(&o.JSON, "json", false, "print one JSON object a line")
	flag.Parse()

	lab.Main("gpucheck", "lines already printed stand", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		return start(ctx, o)
	})
}

func start(ctx context.Context, o options) error {
	ops, err := o.ops()
	if err != nil {
		return err
	}
	bar := progress.New(len(ops), "checking", "ops")
	defer bar.Close()
	return run(ctx, o, ops, bar, func(op string) { bar.Describe(op) }, func() { bar.Add(1) })
}

// ops are the names of the ops to check.
func (o options) ops() ([]string, error) {
	all := backendtest.Ops()
	if o.Ops == "" {
		return all, nil
	}
	chosen := strings.Split(o.Ops, ",")
	for i, op := range chosen {
		chosen[i] = strings.TrimSpace(op)
		if !slices.Contains(all, chosen[i]) {
			return nil, fmt.Errorf("-op %q, want some of %s", op, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}

// run checks ops one after the other and prints to out. Misses are its error.
func run(ctx context.Context, o options, ops []string, out io.Writer, before func(string), after func()) (err error) {
	b, err := backend.Open(o.Device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ref, err := backend.Open("cpu")
	if err != nil {
		return err
	}
	defer ref.Close()
	c := checker{b: b, ref: ref, cases: backendtest.Cases(), bench: backendtest.BenchCases(),
		round: 20 * time.Millisecond, print: &table{out: out}}
	if o.Quick {
		c.cases, c.bench, c.round = few(c.cases), backendtest.SmallBenchCases(), time.Microsecond
	}
	if o.JSON {
		c.print = newLines(out)
	}
	if c.limits, err = backendtest.MeasureLimits(b, c.round, o.Quick); err != nil {
		return err
	}
	if err := c.print.device(deviceOf(b, c.limits, o.Quick)); err != nil {
		return err
	}
	misses := 0
	for _, op := range ops {
		before(op)
		n, err := c.op(ctx, op)
		if err != nil {
			return errors.Join(c.print.end(), fmt.Errorf("%s: %w", op, err))
		}
		misses += n
		after()
	}
	if err := c.print.end(); err != nil {
		return err
	}
	if misses > 0 {
		return fmt.Errorf("%s: %d misses", o.Device, misses)
	}
	return nil
}
