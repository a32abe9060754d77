package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

// device is the device that is checked, with its measured limits.
type device struct {
	Line   string  `json:"line"` // "device"
	Device string  `json:"device"`
	Path   string  `json:"path,omitempty"` // kernel path
	Quick  bool    `json:"quick,omitempty"`
	Launch float64 `json:"launch_seconds"`
	Copy   float64 `json:"copy_gbs"`
	MatMul []rate  `json:"matmul"`
}

// rate is the rate of a large matrix product.
type rate struct {
	DType  string  `json:"dtype"`
	Format string  `json:"format"`
	GFLOPs float64 `json:"gflops"`
}

func deviceOf(b backend.Backend, l backendtest.Limits, quick bool) device {
	d := device{
		Line: "device", Device: b.Name(), Path: backend.Path(b), Quick: quick, Launch: l.Launch, Copy: l.Copy / 1e9,
	}
	for _, f := range backend.Formats() {
		for _, dt := range []backend.DType{backend.F32, backend.BF16} {
			if r := l.MatMul[backendtest.Product{DType: dt, Format: f}]; r > 0 {
				d.MatMul = append(d.MatMul, rate{dt.String(), f.String(), r / 1e9})
			}
		}
	}
	return d
}

// printer prints the results in the order of its calls.
type printer interface {
	device(device) error
	op(check, []timing) error
	end() error
}

// lines prints the results as JSON objects, one per line.
type lines struct{ encoder *json.Encoder }

func newLines(out io.Writer) lines {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return lines{e}
}

func (l lines) device(d device) error { return l.encoder.Encode(d) }

func (l lines) op(c check, times []timing) error {
	err := l.encoder.Encode(c)
	for _, t := range times {
		err = errors.Join(err, l.encoder.Encode(t))
	}
	return err
}

func (lines) end() error { return nil }

// table prints the results as a table.
type table struct {
	out    io.Writer
	misses []string
}

const columns = "%-20s %-5s %8s %8s %10s %9s %8s %6s %-6s  %s\n"

func (t *table) device(d device) error {
	name := strings.TrimSpace(d.Device + " " + d.Path)
	fmt.Fprintf(t.out, "%s: launch %s, copy %.4g GB/s\n", name, short(d.Launch), d.Copy)
	for _, r := range d.MatMul {
		fmt.Fprintf(t.out, "%s: matmul %s, matrix in %s: %.4g GFLOP/s\n", name, r.DType, r.Format, r.GFLOPs)
	}
	if d.Quick {
		fmt.Fprintln(t.out, "-quick: the times mean nothing")
	}
	_, err := fmt.Fprintf(t.out, columns, "op", "dtype", "error", "cpu", "time", "GFLOP/s", "GB/s", "share", "limit",
		"case")
	return err
}

// op prints a row with the errors and the worst case, then a row for each time.
func (t *table) op(c check, times []timing) error {
	largest, cpu, worst := "-", "-", ""
	if c.Cases > 0 {
		largest, cpu = fraction(c.Error), fraction(c.CPU)
	}
	if c.Worst != "" {
		worst = "worst: " + c.Worst
	}
	_, err := fmt.Fprintf(t.out, columns, c.Op, c.DType, largest, cpu, "", "", "", "", "", worst)
	for _, x := range times {
		flops := ""
		if x.GFLOPs > 0 {
			flops = fmt.Sprintf("%.4g", x.GFLOPs)
		}
		_, e := fmt.Fprintf(t.out, columns, "", x.DType, "", "", short(x.Seconds), flops, fmt.Sprintf("%.4g", x.GBs),
			fmt.Sprintf("%.0f%%", 100*x.Share), x.Limit, x.Case)
		err = errors.Join(err, e)
	}
	t.misses = slices.Concat(t.misses, c.Misses)
	return err
}

func (t *table) end() error {
	var err error
	for _, m := range t.misses {
		_, e := fmt.Fprintf(t.out, "MISS %s\n", m)
		err = errors.Join(err, e)
	}
	return err
}

func fraction(x float64) string {
	if x == math.MaxFloat64 {
		return "+Inf"
	}
	return fmt.Sprintf("%.3g", x)
}

// short formats a time with three digits.
func short(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return fmt.Sprintf("%.3g µs", 1e6*seconds)
	case seconds < 1:
		return fmt.Sprintf("%.3g ms", 1e3*seconds)
	}
	return fmt.Sprintf("%.3g s", seconds)
}
