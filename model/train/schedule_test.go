package train

import (
	"math"
	"testing"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-12*math.Max(1, math.Abs(want)) }

// The expected learning rates are those of DeepSeek-V3 §4.2.
func TestV3ScheduleHasThePublishedRates(t *testing.T) {
	const T, B = int64(1e12), int64(1e9)
	for _, c := range []struct {
		step   int
		tokens int64
		want   float64
	}{
		{0, 0, 2.2e-4 / 2000},
		{999, 12 * B, 1.1e-4},
		{1999, 25 * B, 2.2e-4},
		{2000, 26 * B, 2.2e-4},
		{200_000, 10 * T, 2.2e-4},
		{200_001, 10*T + 1075*B, 2.2e-5 + (2.2e-4-2.2e-5)*(2+math.Sqrt2)/4}, // a quarter of the way along the cosine
		{210_000, 10*T + 2150*B, 1.21e-4},                                   // halfway
		{220_000, 14300 * B, 2.2e-5},
		{225_000, 14632 * B, 2.2e-5},
		{226_000, 14633 * B, 7.3e-6},
		{230_000, 14800 * B, 7.3e-6},
	} {
		if got := V3PeakLR * V3(c.step, c.tokens); math.Abs(got-c.want) > 1e-16 {
			t.Errorf("step %d, %d tokens: %g, want %g", c.step, c.tokens, got, c.want)
		}
	}
	if V3BiasRate(0, 14299*B) != 0.001 || V3BiasRate(0, 14300*B) != 0 {
		t.Error("the bias rate does not switch off at 14.3T tokens")
	}
}

func TestSchedulesAtTheirCorners(t *testing.T) {
	linear, cosine := WarmUp(10, Linear(20, 40, 0.1)), WarmUp(10, Cosine(20, 40, 0.2))
	for _, c := range []struct {
		name string
		s    Schedule
		step int
		want float64
	}{
		{"linear", linear, 0, 0.1},
		{"linear", linear, 4, 0.5},
		{"linear", linear, 9, 1},
		{"linear", linear, 20, 1},
		{"linear", linear, 30, 0.55},
		{"linear", linear, 40, 0.1},
		{"linear", linear, 99, 0.1},
		{"cosine", cosine, 9, 1},
		{"cosine", cosine, 20, 1},
		{"cosine", cosine, 25, 0.2 + 0.8*(2+math.Sqrt2)/4},
		{"cosine", cosine, 30, 0.6},
		{"cosine", cosine, 40, 0.2},
		{"cosine", cosine, 99, 0.2},
		{"warm-up alone", WarmUp(10, nil), 4, 0.5},
		{"warm-up alone", WarmUp(10, nil), 10, 1},
		{"constant", Constant(0.3), 5, 0.3},
		{"none", nil, 5, 1},
	} {
		if got := c.s.at(c.step, 0, 1); !near(got, c.want) {
			t.Errorf("%s at step %d: %g, want %g", c.name, c.step, got, c.want)
		}
	}
}

func TestV3BatchGrowsOverItsTokens(t *testing.T) {
	for _, c := range []struct {
		tokens int64
		want   int
	}{{0, 3072}, {234_500_000_000, 9216}, {469_000_000_000, 15360}, {14_800_000_000_000, 15360}} {
		if got := V3Batch.At(c.tokens); got != c.want {
			t.Errorf("%d tokens: %d sequences, want %d", c.tokens, got, c.want)
		}
	}
}
