package physics

import (
	"errors"
	"fmt"
	"math"
)

// Law is what a motion must obey.
type Law interface {
	// Check returns nil or a LawError, which names the first row at fault; any other error
	// says that the law cannot be applied to the trajectory.
	Check(tr Trajectory, tolerance float64) error
}

// LawError is a row of a trajectory that breaks a law.
type LawError struct {
	Law       string
	Row       int // index in Trajectory.T
	T         float64
	Got, Want float64
	What      string // which number, such as "x[0]"
}

func (e *LawError) Error() string {
	return fmt.Sprintf("physics: %s: row %d (t = %.6g s): %s is %.6g, want %.6g", e.Law, e.Row, e.T, e.What, e.Got, e.Want)
}

// Motion is an equation of motion, d²x/dt² = Acceleration. The trajectory, from its first
// row on, must be its solution: each coordinate within tolerance of the greatest distance
// from the first row's that the solution has in it or, if that is less than a thousandth
// of the same in another coordinate, of that; velocities, if they are stated, likewise.
// Without velocities, V is that at the first row.
type Motion struct {
	Name string
	// Acceleration writes d²x/dt² at time t into a. All are of one length.
	Acceleration func(a []float64, t float64, x, v []float64)
	V            []float64
}

// Conserved is a quantity that stays as it is in the first row, within tolerance of the
// greatest absolute value of its Terms in any row.
type Conserved struct {
	Name string
	// Terms adds up to the quantity, such as the kinetic and the potential energy.
	Terms func(t float64, x, v []float64) []float64
}

// Consistent demands that stated velocities are the rates at which positions change: between
// rows, each coordinate moves by the mean of the velocities at both ends times the time,
// within tolerance of the greatest such step. Rows must lie close together for that.
type Consistent struct{}

// UniformAcceleration is motion under a constant acceleration in m/s², one number for each
// coordinate: free fall, projectiles, and, with zeros, motion without force.
func UniformAcceleration(g ...float64) Motion {
	return Motion{Name: "uniform acceleration", Acceleration: func(a []float64, _ float64, _, _ []float64) { copy(a, g) }}
}

// Oscillator is the harmonic oscillator of angular frequency omega in rad/s about 0, with
// damping gamma in 1/s: a = −ω²x − γv.
func Oscillator(omega, gamma float64) Motion {
	return Motion{Name: "harmonic oscillation", Acceleration: func(a []float64, _ float64, x, v []float64) {
		for i := range a {
			a[i] = -omega*omega*x[i] - gamma*v[i]
		}
	}}
}

// CentralGravity is motion about a body at 0 with the gravitational parameter mu = GM in m³/s².
func CentralGravity(mu float64) Motion {
	return Motion{Name: "gravity", Acceleration: func(a []float64, _ float64, x, _ []float64) {
		r := norm(x)
		for i := range a {
			a[i] = -mu * x[i] / (r * r * r)
		}
	}}
}

// QuadraticDrag is motion under a constant acceleration g with a drag of k|v|v, k in 1/m.
func QuadraticDrag(k float64, g ...float64) Motion {
	return Motion{Name: "drag", Acceleration: func(a []float64, _ float64, _, v []float64) {
		s := norm(v)
		for i := range a {
			a[i] = g[i] - k*s*v[i]
		}
	}}
}

// Energy is the conservation of kinetic and potential energy per mass, in J/kg.
func Energy(potential func(x []float64) float64) Conserved {
	return Conserved{Name: "conservation of energy", Terms: func(_ float64, x, v []float64) []float64 {
		s := norm(v)
		return []float64{s * s / 2, potential(x)}
	}}
}

// Momentum is the conservation of the momentum of bodies that move along a line, one
// coordinate each, with masses in kg.
func Momentum(masses ...float64) Conserved {
	return Conserved{Name: "conservation of momentum", Terms: func(_ float64, _, v []float64) []float64 {
		terms := make([]float64, len(v))
		for i := range v {
			terms[i] = masses[i] * v[i]
		}
		return terms
	}}
}

// AngularMomentum is the conservation of x·vy − y·vx, the angular momentum per mass in a plane.
func AngularMomentum() Conserved {
	return Conserved{Name: "conservation of angular momentum", Terms: func(_ float64, x, v []float64) []float64 {
		return []float64{x[0] * v[1], -x[1] * v[0]}
	}}
}

func norm(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v * v)
	}
	return math.Sqrt(sum)
}

var errNoVelocities = errors.New("the trajectory states no velocities")

// Check implements Law.
func (c Conserved) Check(tr Trajectory, tolerance float64) error {
	if tr.V == nil {
		return fmt.Errorf("physics: %s: %w", c.Name, errNoVelocities)
	}
	values, scale := make([]float64, len(tr.T)), 0.
	for i := range tr.T {
		for _, term := range c.Terms(tr.T[i], tr.X[i], tr.V[i]) {
			values[i] += term
			scale = max(scale, math.Abs(term))
		}
	}
	for i, v := range values {
		if !(math.Abs(v-values[0]) <= tolerance*scale) {
			return &LawError{Law: c.Name, Row: i, T: tr.T[i], What: "the sum", Got: v, Want: values[0]}
		}
	}
	return nil
}

// Check implements Law.
func (Consistent) Check(tr Trajectory, tolerance float64) error {
	const name = "velocity is the rate of change"
	if tr.V == nil {
		return fmt.Errorf("physics: %s: %w", name, errNoVelocities)
	}
	step := func(i, d int) float64 { return (tr.V[i-1][d] + tr.V[i][d]) / 2 * (tr.T[i] - tr.T[i-1]) }
	scale := 0.
	for i := 1; i < len(tr.T); i++ {
		for d := range tr.X[i] {
			scale = max(scale, math.Abs(step(i, d)))
		}
	}
	for i := 1; i < len(tr.T); i++ {
		for d := range tr.X[i] {
			if want := tr.X[i-1][d] + step(i, d); !(math.Abs(tr.X[i][d]-want) <= tolerance*scale) {
				return &LawError{Law: name, Row: i, T: tr.T[i], What: fmt.Sprintf("x[%d]", d), Got: tr.X[i][d], Want: want}
			}
		}
	}
	return nil
}

// Check implements Law.
func (m Motion) Check(tr Trajectory, tolerance float64) error {
	v := m.V
	if tr.V != nil {
		v = tr.V[0]
	}
	if len(v) != len(tr.X[0]) {
		return fmt.Errorf("physics: %s: %w, and Motion.V has %d of %d", m.Name, errNoVelocities, len(v), len(tr.X[0]))
	}
	solution, err := m.solve(tr.T, tr.X[0], v, tolerance)
	if err != nil {
		return fmt.Errorf("physics: %s: %w", m.Name, err)
	}
	compare := func(what string, got, want [][]float64) error {
		scales := spans(want)
		for i := range got {
			for d := range got[i] {
				if !(math.Abs(got[i][d]-want[i][d]) <= tolerance*scales[d]) {
					return &LawError{Law: m.Name, Row: i, T: tr.T[i], What: fmt.Sprintf("%s[%d]", what, d),
						Got: got[i][d], Want: want[i][d]}
				}
			}
		}
		return nil
	}
	if err := compare("x", tr.X, solution.X); err != nil || tr.V == nil {
		return err
	}
	return compare("v", tr.V, solution.V)
}

// spans returns, for each coordinate, the greatest distance from its first value, but at
// least a thousandth of the greatest of all.
func spans(rows [][]float64) []float64 {
	s, most := make([]float64, len(rows[0])), 0.
	for _, row := range rows {
		for d := range row {
			s[d] = max(s[d], math.Abs(row[d]-rows[0][d]))
			most = max(most, s[d])
		}
	}
	for d := range s {
		if s[d] < most/1000 {
			s[d] = most
		}
	}
	return s
}
