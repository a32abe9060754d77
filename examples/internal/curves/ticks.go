package curves

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// roundTicks returns a ticker that places about five ticks. Their distance is 1, 2 or 5
// times a power of ten, or closest if that is more.
func roundTicks(closest float64) plot.TickerFunc {
	return func(low, high float64) []plot.Tick {
		distance := max(closest, roundUp((high-low)/6))
		first := math.Ceil(low / distance)
		var ticks []plot.Tick
		for i := range 7 { // there are at most 7
			if at := (first + float64(i)) * distance; at <= high {
				ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'g', 6, 64)})
			}
		}
		return ticks
	}
}

// roundRange widens a range so that it ends at ticks of roundTicks(0).
func roundRange(low, high float64) (float64, float64) {
	for range 3 { // a wider range may have ticks further apart
		distance := roundUp((high - low) / 6)
		if !(distance > 0) {
			break // the range is empty
		}
		const slack = 1e-9 // for rounding errors: 0.3/0.05 is greater than 6
		low = math.Floor(low/distance+slack) * distance
		high = math.Ceil(high/distance-slack) * distance
	}
	return low, high
}

// roundUp returns the least number ≥ v of the form 1, 2 or 5 times a power of ten; v must
// be positive.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}
