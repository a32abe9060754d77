package curves

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// roundTicks marks an axis at about five multiples of 1, 2 or 5 times a power of
// ten, not closer than the given distance.
func roundTicks(closest float64) plot.TickerFunc {
	return func(low, high float64) []plot.Tick {
		distance := max(closest, roundUp((high-low)/6))
		first := math.Ceil(low / distance)
		var ticks []plot.Tick
		for i := range 7 { // the range holds no more
			if at := (first + float64(i)) * distance; at <= high {
				ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'g', 6, 64)})
			}
		}
		return ticks
	}
}

// roundRange widens a range to ends that roundTicks(0) marks.
func roundRange(low, high float64) (float64, float64) {
	for range 3 { // a wider range may have wider marks
		distance := roundUp((high - low) / 6)
		if !(distance > 0) {
			break // the range is empty beside the size of its ends
		}
		const slack = 1e-9 // 0.3 is a mark though 0.3/0.05 is above 6
		low = math.Floor(low/distance+slack) * distance
		high = math.Ceil(high/distance-slack) * distance
	}
	return low, high
}

// roundUp returns the least of 1, 2 or 5 times a power of ten that is at least
// v > 0.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}
