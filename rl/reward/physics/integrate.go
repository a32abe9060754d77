package physics

import (
	"errors"
	"math"
)

// maxSteps is the maximum number of steps of an integration.
const maxSteps = 1 << 22

// solve integrates the equation of motion over the given times with the classical Runge–Kutta
// method. It halves the steps until two solutions differ by less than a hundredth of the
// tolerance.
func (m Motion) solve(t, x, v []float64, tolerance float64) (Trajectory, error) {
	previous := Trajectory{}
	for perRow := 4; perRow*len(t) <= maxSteps; perRow *= 2 {
		next := m.integrate(t, x, v, perRow)
		if previous.T != nil && near(previous.X, next.X, tolerance/100) && near(previous.V, next.V, tolerance/100) {
			return next, nil
		}
		previous = next
	}
	return Trajectory{}, errors.New("the equation of motion cannot be integrated from the first row")
}

func near(a, b [][]float64, tolerance float64) bool {
	scales := spans(b)
	for i := range a {
		for d := range a[i] {
			if !(math.Abs(a[i][d]-b[i][d]) <= tolerance*scales[d]) {
				return false
			}
		}
	}
	return true
}

func (m Motion) integrate(t, x, v []float64, perRow int) Trajectory {
	n := len(x)
	state := append(append(make([]float64, 0, 2*n), x...), v...)
	slope := func(out []float64, t float64, s []float64) {
		copy(out[:n], s[n:])
		m.Acceleration(out[n:], t, s[:n], s[n:])
	}
	var k [4][]float64
	for i := range k {
		k[i] = make([]float64, 2*n)
	}
	between := make([]float64, 2*n)
	tr := Trajectory{T: t}
	for i := range t {
		if i > 0 {
			h := (t[i] - t[i-1]) / float64(perRow)
			for s := range perRow {
				at := t[i-1] + float64(s)*h
				slope(k[0], at, state)
				for j, part := range []float64{h / 2, h / 2, h} {
					for d := range between {
						between[d] = state[d] + float64(part*k[j][d])
					}
					slope(k[j+1], at+part, between)
				}
				for d := range state {
					state[d] += float64(h / 6 * (k[0][d] + 2*k[1][d] + 2*k[2][d] + k[3][d]))
				}
			}
		}
		tr.X = append(tr.X, append([]float64{}, state[:n]...))
		tr.V = append(tr.V, append([]float64{}, state[n:]...))
	}
	return tr
}
