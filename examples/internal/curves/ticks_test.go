package curves

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTicksAreRoundNumbers(t *testing.T) {
	for _, test := range []struct {
		closest, low, high float64
		want               []string
	}{
		{0, 0, 60, []string{"0", "10", "20", "30", "40", "50", "60"}},
		{0, 0, 61, []string{"0", "20", "40", "60"}},
		{0, 0.05, 0.31, []string{"0.05", "0.1", "0.15", "0.2", "0.25", "0.3"}},
		{0, -1, 1, []string{"-1", "-0.5", "0", "0.5", "1"}},
		{0, 1e5, 1.5e6, []string{"500000", "1e+06", "1.5e+06"}},
		{1, -0.5, 2.5, []string{"0", "1", "2"}},
		{1, -0.5, 63.5, []string{"0", "20", "40", "60"}},
		{0, 1e20, 1e20, nil}, // an empty range has no ticks
	} {
		var got []string
		for _, tick := range roundTicks(test.closest)(test.low, test.high) {
			got = append(got, tick.Label)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ticks of [%g, %g], at least %g apart (-want +got):\n%s", test.low, test.high, test.closest, diff)
		}
	}
}

func TestRangesEndAtTicks(t *testing.T) {
	for _, test := range []struct{ low, high, wantLow, wantHigh float64 }{
		{0, 100, 0, 100},
		{0, 95.2, 0, 100},
		{0, 3.4, 0, 4},
		{0, 0.3, 0, 0.3},
		{-0.13, 0.26, -0.2, 0.3},
		{1e20, 1e20, 1e20, 1e20},
	} {
		low, high := roundRange(test.low, test.high)
		if !cmp.Equal([]float64{test.wantLow, test.wantHigh}, []float64{low, high}, cmpopts.EquateApprox(1e-12, 0)) {
			t.Errorf("[%g, %g] is widened to [%g, %g], want [%g, %g]", test.low, test.high, low, high, test.wantLow,
				test.wantHigh)
		}
		if high == low {
			continue
		}
		ticks := roundTicks(0)(low, high)
		if first, last := ticks[0].Value, ticks[len(ticks)-1].Value; first != low || last != high {
			t.Errorf("[%g, %g]: the ticks go from %g to %g", low, high, first, last)
		}
	}
}
