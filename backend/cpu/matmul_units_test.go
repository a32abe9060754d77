package cpu

import (
	"fmt"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Each product has units enough for all threads, or units that cannot be halved
// or are not worth another thread.
func TestUnitsAreEnoughForAllThreads(t *testing.T) {
	parts := [][]int{{}, {1}, {32}, {33}, {100}, {168}, {200}, {256}, {823}, {2048}, {1, 0, 300, 5}, {64, 64}}
	for _, format := range []backend.Format{backend.BFloat16, backend.FP8, backend.Q8} {
		for _, rows := range parts {
			for _, n := range []int{1, 16, 65, 256, 688, 1408, 4096} {
				for _, k := range []int{0, 32, 2048} {
					for _, workers := range []int{1, 2, 3, 16} {
						checkUnits(t, format, rows, n, k, workers)
					}
				}
			}
		}
	}
}

func checkUnits(t *testing.T, format backend.Format, rows []int, n, k, workers int) {
	t.Helper()
	f, most := new(formatted), 0
	f.open(encodingOf(format), n, false)
	for _, m := range rows {
		f.add(m, k, operand[float32]{}, operand[float32]{}, right{}, 0)
		most = max(most, m)
	}
	units, work := f.cut(workers, most)
	what := fmt.Sprintf("%s, rows %v, n=%d k=%d, %d threads: %d units of %d columns", format, rows, n, k, workers, units,
		f.columns)
	next, divisible := 0, f.columns > leastWidth && most > fewRows
	for _, p := range f.parts {
		if p.unit != next {
			t.Errorf("%s: a part begins with unit %d, want %d", what, p.unit, next)
		}
		next += ceil(p.m, p.height) * ceil(n, f.columns)
		divisible = divisible || min(p.m, p.height) >= 2*leastHeight
		if p.height > f.rows {
			t.Errorf("%s: %d rows, want at most %d", what, p.height, f.rows)
		}
	}
	if units != next {
		t.Errorf("%s, the parts have %d", what, next)
	}
	if len(f.parts) > 0 && f.columns < n && f.columns%asm.PanelWidth != 0 || f.columns > f.cols {
		t.Errorf("%s, want whole panels and at most %d", what, f.cols)
	}
	if workers > 1 && units < leastUnits*workers && work > units*pieceWork && divisible {
		t.Errorf("%s, want %d", what, leastUnits*workers)
	}
}
