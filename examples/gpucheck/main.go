// Command gpucheck checks and times every op of a device. It prints the largest errors,
// compared with the float64 definition and with the CPU, and the speed.
//
//	go run ./examples/gpucheck -device cuda:0
//	go run ./examples/gpucheck -device cuda:0 -op MatMul,Attention -json
//	go run ./examples/gpucheck -device cpu -quick
//
// The columns of the table, and the fields of the JSON objects of -json, are:
//
//   - error is the largest difference between an element of the result and its float64
//     definition, over all cases of backendtest.Cases with that dtype of activations.
//     worst is the case where it occurs. The unit is the tolerance of the element
//     (backendtest.Tolerances); more than 1 is a miss. An op that must be exact has
//     error 0 or +Inf; in BF16 an element that is rounded the other way has error 1.
//   - cpu is the largest difference from the CPU backend on the same operands, in the
//     same unit. If both backends are within the tolerance, it is at most 2.
//   - time is the time of one op, the median over rounds that end with Sync, for each
//     case of backendtest.BenchCases. GFLOP/s is printed for ops with considerable
//     arithmetic; GB/s counts the operands read and written.
//   - share is the shortest possible time over the measured time, and limit the resource
//     that sets it: launch, the time of an op on one element; copy, the bandwidth of a
//     Copy of 64 MiB; matmul, the rate of a MatMul of 2048³ in the same dtype and format.
//     All three are measured on the device and printed first. They are what this backend
//     reaches, not figures from a data sheet; ops with operands in a cache may exceed them.
//
// A miss is an error beyond the tolerance, a case that the CPU supports and the device does
// not, or an op that fails while it is timed. Packed layouts are optional: cases with a
// layout that the backend does not pack are not counted. Misses are printed below the table,
// and the exit code is 1. It is also 1 if the device cannot be opened; the message then
// lists the libraries and the paths that were tried. If the device fails for good after a
// case, the check ends and the message names the case. With -json the field line is device,
// check (one for each op and dtype) or time (one for each benchmark case), and an infinite
// error is 1.7976931348623157e+308.
//
// # A kernel of your own
//
// The same cases test a kernel of your own. Wrap a backend that executes all other ops, and
// Check names the case and the element where your kernel is wrong:
//
//	type mine struct{ backend.Decorator }
//
//	func (m mine) Do(op backend.Op) error {
//		if o, ok := op.(*backend.RMSNorm); ok && o.X.DType == backend.F32 {
//			return myRMSNorm(m.Backend, o) // your kernel; returns errors.ErrUnsupported for other layouts
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
// The Example of package backendtest has a complete kernel of this kind, and one with a
// mistake.
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
	Ops    string // separated by commas; if empty, all ops
	Quick  bool
	JSON   bool
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cuda:0", "device to check: cuda:0 or cpu")
	flag.StringVar(&o.Ops, "op", "", "ops to check, separated by commas (default: all)")
	flag.BoolVar(&o.Quick, "quick", false,
		"check few cases of each op on small shapes, for example on an emulator; the times mean nothing")
	flag.BoolVar(&o.JSON, "json", false, "print the results as JSON objects, one per line")
	flag.Parse()

	lab.Main("gpucheck", "the lines printed so far are complete", func(ctx context.Context) error {
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

// ops returns the names of the ops to check.
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

// run checks ops one after the other and prints the results to out. It returns an error if
// there are misses. It calls before and after around each op.
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
