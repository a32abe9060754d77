package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
)

// Timing is the time of one op and the least work that it must do.
type Timing struct {
	Case    Case
	Seconds float64        // time of one op
	Flops   float64        // arithmetic operations; 0 if they are not counted
	Bytes   float64        // bytes of operands that it reads and writes
	Format  backend.Format // format of the matrix that it reads; Native if there is none
}

// GFLOPs returns the rate of arithmetic in 10⁹ operations per second.
func (t Timing) GFLOPs() float64 { return t.Flops / t.Seconds / 1e9 }

// GBs returns the rate of reading and writing operands in 10⁹ bytes per second.
func (t Timing) GBs() float64 { return t.Bytes / t.Seconds / 1e9 }

// BenchCases lists cases of realistic sizes of every op, in F32 and, if the op takes it,
// BF16.
func BenchCases() []Case {
	var cases []Case
	for _, f := range families() {
		for _, s := range f.bench {
			for _, c := range variants(s, f.bf16) {
				if !c.Strided && c.DType != backend.F64 {
					cases = append(cases, c)
				}
			}
		}
	}
	return cases
}

// SmallBenchCases lists one case of every op for devices as slow as an emulator: of the
// F32 cases in Cases, the one with the largest operands.
func SmallBenchCases() []Case {
	var cases []Case
	largest := map[string]int{} // bytes of operands; 0 for a case that some backends skip
	for _, c := range Cases() {
		if c.DType != backend.F32 || c.Strided {
			continue
		}
		size, s := 0, c.setup(unpacked{})
		for _, o := range s.operands {
			if s.skip == "" {
				size += o.view.Buf.Bytes()
			}
		}
		i := slices.IndexFunc(cases, func(other Case) bool { return other.Op == c.Op })
		switch {
		case i < 0:
			cases = append(cases, c)
		case size > largest[c.Op]:
			cases[i] = c
		}
		largest[c.Op] = max(largest[c.Op], size)
	}
	return cases
}

// unpacked is a backend that packs only in formats other than Native. Only its PackedLen
// may be called.
type unpacked struct{ backend.Backend }

func (unpacked) PackedLen(f backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	if f == backend.Native {
		return dt, 0
	}
	return dt, k * n
}

// rounds is the number of rounds of which Measure takes the median.
const rounds = 5

// Measure runs c's op on b in rounds of at least the given time, each ended by Sync, and
// takes the median of five rounds. The error wraps errors.ErrUnsupported if b lacks the
// op or does not pack in the case's format.
func Measure(b backend.Backend, c Case, round time.Duration) (Timing, error) {
	l, err := c.load(b)
	defer l.free()
	if err != nil {
		return Timing{}, fmt.Errorf("%s: %w", c, err)
	}
	n := 1
	var seconds []float64
	for len(seconds) < rounds {
		began := time.Now()
		for range n {
			if err := b.Do(l.op); err != nil {
				return Timing{}, fmt.Errorf("%s: %w", c, err)
			}
		}
		if err := b.Sync(); err != nil {
			return Timing{}, fmt.Errorf("%s: %w", c, err)
		}
		took := time.Since(began)
		if took < round {
			n *= int(min(max(2, round/max(took, 1)), 1000))
			seconds = nil
			continue
		}
		seconds = append(seconds, took.Seconds()/float64(n))
	}
	slices.Sort(seconds)
	return l.timing(seconds[rounds/2]), nil
}

// Bench runs benchmarks of BenchCases. It reports GB/s and, if the op's arithmetic is
// counted, GFLOP/s.
func Bench(bench *testing.B, b backend.Backend) {
	for _, c := range BenchCases() {
		bench.Run(c.Name(), func(bench *testing.B) { benchCase(bench, b, c) })
	}
}

func benchCase(bench *testing.B, b backend.Backend, c Case) {
	l, err := c.load(b)
	defer l.free()
	if errors.Is(err, errors.ErrUnsupported) {
		bench.Skip(err)
	}
	if err != nil {
		bench.Fatal(err)
	}
	for bench.Loop() {
		if err := b.Do(l.op); err != nil {
			bench.Fatal(err)
		}
	}
	if err := b.Sync(); err != nil {
		bench.Fatal(err)
	}
	t := l.timing(bench.Elapsed().Seconds() / float64(bench.N))
	if t.Flops > 0 {
		bench.ReportMetric(t.GFLOPs(), "GFLOP/s")
	}
	bench.ReportMetric(t.GBs(), "GB/s")
}

// loaded is a case whose op can be run on a backend many times.
type loaded struct {
	*setup
	*memory
	c Case
}

// load uploads the operands of c and runs its op once, so that one-time preparations are
// done. Free the result even after an error.
func (c Case) load(b backend.Backend) (*loaded, error) {
	l := &loaded{c.setup(b), &memory{b: b}, c}
	if l.skip != "" {
		return l, fmt.Errorf("%s: %w", l.skip, errors.ErrUnsupported)
	}
	var err error
	if l.memory, err = l.bind(b); err != nil {
		return l, err
	}
	for _, op := range append(l.prelude, l.op) {
		if err := b.Do(op); err != nil {
			return l, err
		}
	}
	return l, b.Sync()
}

// timing returns the Timing of one op that takes the given time.
func (l *loaded) timing(seconds float64) Timing {
	t := Timing{Case: l.c, Seconds: seconds, Flops: l.flops, Bytes: -l.untouched}
	l.op.Operands(func(v *backend.View, a backend.Access) {
		size := float64(v.Len() * v.DType.Size())
		if a == backend.ReadWrite {
			size *= 2
		}
		t.Bytes += size
	})
	switch op := l.op.(type) {
	case *backend.MatMul:
		t.Format = op.B.Format
	case *backend.GroupedMatMul:
		t.Format = op.B.Format
	case *backend.GroupedOuter:
		t.Format = op.Format
	case *backend.LinearLogProb:
		t.Format = op.W.Format
	case *backend.LinearLogProbGrad:
		t.Format = op.W.Format
	}
	return t
}
