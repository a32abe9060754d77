package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

// checker checks the ops of b and compares them with ref, the CPU.
type checker struct {
	b, ref       backend.Backend
	cases, bench []backendtest.Case
	round        time.Duration // time of one round of a measurement
	limits       backendtest.Limits
	print        printer
}

// check is the result of one op in one dtype. Errors are fractions of the tolerance.
type check struct {
	Line   string   `json:"line"` // "check"
	Op     string   `json:"op"`
	DType  string   `json:"dtype"`
	Cases  int      `json:"cases"`           // number of cases that ran
	Error  float64  `json:"error"`           // largest error against the float64 definition
	Worst  string   `json:"worst,omitempty"` // case of Error, if Error is not 0
	CPU    float64  `json:"cpu"`             // largest difference from the CPU
	Misses []string `json:"misses,omitempty"`
}

// timing is the speed of one benchmark case.
type timing struct {
	Line    string  `json:"line"` // "time"
	Op      string  `json:"op"`
	DType   string  `json:"dtype"`
	Case    string  `json:"case"`
	Seconds float64 `json:"seconds"`
	GFLOPs  float64 `json:"gflops,omitempty"`
	GBs     float64 `json:"gbs"`
	Share   float64 `json:"share"`
	Limit   string  `json:"limit"`
}

// maxMisses is the maximum number of misses that are described for one op and dtype.
const maxMisses = 5

// op checks and times one op and prints the results. It returns the number of misses.
func (c *checker) op(ctx context.Context, name string) (misses int, err error) {
	for _, dt := range []backend.DType{backend.F32, backend.F64, backend.BF16} {
		of := func(x backendtest.Case) bool { return x.Op != name || x.DType != dt }
		cases, bench := slices.DeleteFunc(slices.Clone(c.cases), of), slices.DeleteFunc(slices.Clone(c.bench), of)
		if len(cases) == 0 {
			continue
		}
		r := &check{Line: "check", Op: name, DType: dt.String()}
		for _, x := range cases {
			if err := ctx.Err(); err != nil {
				return misses, err
			}
			d := backendtest.Differ(c.ref, c.b, x)
			misses += r.add(x, d)
			if err := c.failed(d.Err); err != nil {
				return misses, fmt.Errorf("%s: %w", x, err)
			}
		}
		var times []timing
		for _, x := range bench {
			if err := ctx.Err(); err != nil {
				return misses, err
			}
			t, err := backendtest.Measure(c.b, x, c.round)
			if errors.Is(err, errors.ErrUnsupported) {
				continue // the cases above count a miss if the CPU supports it
			}
			if err != nil {
				misses += r.miss("could not be timed: %v", err)
				if err := c.failed(err); err != nil {
					return misses, fmt.Errorf("%s: %w", x, err)
				}
				continue
			}
			least, limit := c.limits.Least(t)
			times = append(times, timing{Line: "time", Op: name, DType: r.DType, Case: x.Name(), Seconds: t.Seconds,
				GFLOPs: t.GFLOPs(), GBs: t.GBs(), Share: least / t.Seconds, Limit: limit})
		}
		if err := c.print.op(*r, times); err != nil {
			return misses, err
		}
	}
	return misses, nil
}

// failed returns the error of a device that does not recover after a case failed with err:
// all further cases would fail too. It returns nil if the device works.
func (c *checker) failed(err error) error {
	if err == nil || c.b.Sync() == nil {
		return nil
	}
	return c.b.Sync() // the first Sync may have reported the error of the case
}

// add adds the result of case x and returns the number of misses, 0 or 1.
func (r *check) add(x backendtest.Case, d backendtest.Difference) (misses int) {
	switch {
	case d.Lacks():
		misses = r.miss("%s: not supported, and the CPU supports it", x)
	case !d.OK():
		misses = r.miss("%s", d.Result)
	case !d.Ref.OK():
		misses = r.miss("the CPU: %s", d.Ref)
	}
	if d.Unsupported || d.Skipped != "" || d.Err != nil {
		return misses
	}
	r.Cases++
	if e := finite(d.MaxError); e > r.Error {
		r.Error, r.Worst = e, x.Name()
	}
	r.CPU = max(r.CPU, finite(d.Apart))
	return misses
}

// miss records a description of a miss, up to maxMisses of them, and returns 1.
func (r *check) miss(format string, args ...any) int {
	if len(r.Misses) < maxMisses {
		r.Misses = append(r.Misses, fmt.Sprintf(format, args...))
	}
	return 1
}

// finite returns x, or the largest float64 if x is infinite, which JSON cannot express.
func finite(x float64) float64 { return min(x, math.MaxFloat64) }

// few returns up to four cases of each op and dtype.
func few(all []backendtest.Case) []backendtest.Case {
	type kind struct {
		op string
		dt backend.DType
	}
	total, seen := map[kind]int{}, map[kind]int{}
	for _, c := range all {
		total[kind{c.Op, c.DType}]++
	}
	var list []backendtest.Case
	for _, c := range all {
		k := kind{c.Op, c.DType}
		if step := total[k]/4 + 1; seen[k]%step == step/2 {
			list = append(list, c)
		}
		seen[k]++
	}
	return list
}
