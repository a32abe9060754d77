package physics

import (
	"errors"
	"fmt"
	"math"
)

// Law is a physical law that a motion must obey.
type Law interface {
	// Check returns nil if the trajectory obeys the law, or a LawError with the first row that
	// breaks it. Any other error means that the law cannot be applied to the trajectory.
	Check(tr Trajectory, tolerance float64) error
}

// LawError describes a row of a trajectory that breaks a law.
type LawError struct {
	Law       string
	Row       int // index in Trajectory.T
	T         float64
	Got, Want float64
	What      string // name of the number, such as "x[0]"
}

func (e *LawError) Error() string {
	return fmt.Sprintf("physics: %s: row %d (t = %.6g s): %s is %.6g, want %.6g", e.Law, e.Row, e.T, e.What, e.Got, e.Want)
}

// Motion is the equation of motion d²x/dt² = Acceleration. The trajectory must agree with its
// solution that begins at the first row. The difference in a coordinate may be at most the
// tolerance times the range of that coordinate, which is its greatest distance from the first
// row in the solution; a range counts as at least a thousandth of the greatest range of all
// coordinates. The same holds for velocities if the trajectory has them. If it has none, V is
// the velocity at the first row.
type Motion struct {
	Name string
	// Acceleration writes d²x/dt² at time t to a. a, x and v have the same length.
	Acceleration func(a []float64, t float64, x, v []float64)
	V            []float64
}

// Conserved is a conserved quantity: in each row it must have the value of the first row, up
// to the tolerance times the greatest absolute value of its Terms in any row.
type Conserved struct {
	Name string
	// Terms returns the terms of the quantity, such as kinetic and potential energy; the
	// quantity is their sum.
	Terms func(t float64, x, v []float64) []float64
}

// Consistent requires that velocities are the derivatives of positions. Between two rows, each
// coordinate must change by the mean of the velocities in both rows times the time, up to the
// tolerance times the greatest such change. Rows must be close together for this.
type Consistent struct{}

// UniformAcceleration returns the motion under a constant acceleration in m/s², one number for
// each coordinate: free fall, projectiles and, with zeros, motion without force.
func UniformAcceleration(g ...float64) Motion {
	return Motion{Name: "uniform acceleration", Acceleration: func(a []float64, _ float64, _, _ []float64) { copy(a, g) }}
}

// Oscillator returns the motion of a harmonic oscillator about 0 with angular frequency omega
// in rad/s and damping gamma in 1/s: a = −ω²x − γv.
func Oscillator(omega, gamma float64) Motion {
	return Motion{Name: "harmonic oscillation", Acceleration: func(a []float64, _ float64, x, v []float64) {
		for i := range a {
			a[i] = -omega*omega*x[i] - gamma*v[i]
		}
	}}
}

// CentralGravity returns the motion in the gravity of a body at 0 with the gravitational
// parameter mu = GM in m³/s².
func CentralGravity(mu float64) Motion {
	return Motion{Name: "gravity", Acceleration: func(a []float64, _ float64, x, _ []float64) {
		r := norm(x)
		for i := range a {
			a[i] = -mu * x[i] / (r * r * r)
		}
	}}
}

// QuadraticDrag returns the motion under a constant acceleration g with a drag of k|v|v, where
// k is in 1/m.
func QuadraticDrag(k float64, g ...float64) Motion {
	return Motion{Name: "drag", Acceleration: func(a []float64, _ float64, _, v []float64) {
		s := norm(v)
		for i := range a {
			a[i] = g[i] - k*s*v[i]
		}
	}}
}

// Energy returns the law of conservation of kinetic plus potential energy per mass, in J/kg.
func Energy(potential func(x []float64) float64) Conserved {
	return Conserved{Name: "conservation of energy", Terms: func(_ float64, x, v []float64) []float64 {
		s := norm(v)
		return []float64{s * s / 2, potential(x)}
	}}
}

// Momentum returns the law of conservation of momentum for bodies with the given masses in kg
// that move along a line. Each body has one coordinate.
func Momentum(masses ...float64) Conserved {
	return Conserved{Name: "conservation of momentum", Terms: func(_ float64, _, v []float64) []float64 {
		terms := make([]float64, len(v))
		for i := range v {
			terms[i] = masses[i] * v[i]
		}
		return terms
	}}
}

// AngularMomentum returns the law of conservation of x·vy − y·vx, the angular momentum per mass
// in a plane.
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

var errNoVelocities = errors.New("the trajectory has no velocities")

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

// spans returns the range of each coordinate, its greatest distance from its first value, but
// at least a thousandth of the greatest range of all coordinates.
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
