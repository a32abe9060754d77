package cpu

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

func TestLimitsArePositiveWhereThePathHasTheInstruction(t *testing.T) {
	const d = 5 * time.Millisecond
	m := NewMeter(2)
	l := Limits{F32: m.F32(d), BF16: m.BF16(d), Int8: m.Int8(d), ReadBandwidth: m.ReadBandwidth(d)}
	if l.F32 <= 0 || l.ReadBandwidth <= 0 {
		t.Errorf("limits %+v", l)
	}
	for name, c := range map[string]struct {
		rate float64
		has  bool
	}{"BF16": {l.BF16, asm.DotLoopBF16(1) > 0}, "Int8": {l.Int8, asm.DotLoopInt8(1) > 0}} {
		if (c.rate > 0) != c.has {
			t.Errorf("%s: rate %g, instruction there: %v", name, c.rate, c.has)
		}
	}
}

func TestMeterWorksOnEveryThread(t *testing.T) {
	var calls [3]atomic.Int32
	rate := NewMeter(len(calls)).best(time.Millisecond, func(thread int) int {
		calls[thread].Add(1)
		return 1
	})
	for i := range calls {
		if calls[i].Load() < intervals {
			t.Errorf("thread %d worked %d times in %d intervals", i, calls[i].Load(), intervals)
		}
	}
	if rate <= 0 {
		t.Errorf("rate %g", rate)
	}
}
