package physics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// TrajectoryProblem asks for a motion that obeys laws. ScoreTrajectory expects it in
// Sample.Answer. Start, Until and Rows exclude trivial answers, such as a motion of two rows.
type TrajectoryProblem struct {
	Coordinates []string // names of the position columns; nil means x
	Laws        []Law    // at least one
	// Tolerance is the tolerance for the laws and for Start; 0 means 0.01.
	Tolerance float64
	// Start is the required first row. If nil, any row is accepted; if its V is nil, any
	// velocities are.
	Start *State
	Until float64 // minimum time of the last row, in s
	Rows  int     // minimum number of rows; 0 means 3
}

// State is one row of a trajectory, in base units of the SI.
type State struct {
	T    float64
	X, V []float64
}

// ShapeError describes a trajectory that has a wrong start, ends too early or has too few
// rows.
type ShapeError struct{ Reason string }

func (e *ShapeError) Error() string { return "physics: the trajectory " + e.Reason }

// Validate reports what is wrong with a problem.
func (p TrajectoryProblem) Validate() error {
	n := len(p.coordinates())
	switch {
	case len(p.Laws) == 0:
		return errors.New("physics: TrajectoryProblem.Laws is empty")
	case !(p.Tolerance >= 0) || math.IsInf(p.Tolerance, 0):
		return fmt.Errorf("physics: TrajectoryProblem.Tolerance is %v, want 0 or more", p.Tolerance)
	case p.Rows < 0:
		return fmt.Errorf("physics: TrajectoryProblem.Rows is %d, want 0 or more", p.Rows)
	case p.Start != nil && (len(p.Start.X) != n || p.Start.V != nil && len(p.Start.V) != n):
		return fmt.Errorf("physics: TrajectoryProblem.Start has %d positions and %d velocities of %d coordinates",
			len(p.Start.X), len(p.Start.V), n)
	}
	return nil
}

func (p TrajectoryProblem) coordinates() []string {
	if p.Coordinates == nil {
		return []string{"x"}
	}
	return p.Coordinates
}

// Check returns nil if a trajectory solves the problem, a ShapeError or a LawError if it does
// not, and any other error if a law cannot be applied.
func (p TrajectoryProblem) Check(tr Trajectory) error {
	tolerance, rows := p.Tolerance, p.Rows
	if tolerance == 0 {
		tolerance = 0.01
	}
	if rows == 0 {
		rows = 3
	}
	last := tr.T[len(tr.T)-1]
	switch {
	case len(tr.T) < rows:
		return &ShapeError{fmt.Sprintf("has %d rows, want %d", len(tr.T), rows)}
	case last < p.Until-tolerance*math.Abs(p.Until):
		return &ShapeError{fmt.Sprintf("ends at %g s, want %g s", last, p.Until)}
	}
	if s := p.Start; s != nil {
		length := last - tr.T[0]
		if math.Abs(tr.T[0]-s.T) > tolerance*length {
			return &ShapeError{fmt.Sprintf("begins at %g s, want %g s", tr.T[0], s.T)}
		}
		if !starts(tr.X, s.X, tolerance) || s.V != nil && tr.V != nil && !starts(tr.V, s.V, tolerance) {
			return &ShapeError{fmt.Sprintf("begins elsewhere than at %v with velocity %v", s.X, s.V)}
		}
	}
	for _, law := range p.Laws {
		if err := law.Check(tr, tolerance); err != nil {
			return err
		}
	}
	return nil
}

// starts reports whether the first row is as wanted, up to the tolerance times the size of the
// wanted value or the range of the coordinate.
func starts(rows [][]float64, want []float64, tolerance float64) bool {
	scales := spans(rows)
	for d, w := range want {
		if !(math.Abs(rows[0][d]-w) <= tolerance*max(math.Abs(w), scales[d])) {
			return false
		}
	}
	return true
}

// ScoreTrajectory scores the table in the last <answer>…</answer> of a completion or, if there
// is none, in its last fenced block, after </think>; see ParseTrajectory. The verdict is
// Correct with 1 if the motion solves the problem; Wrong with 0 and a ShapeError or a LawError
// if it does not; Unparseable with 0 if there is no such table or it lacks velocities that a
// law needs; Error if Sample.Answer is not a valid TrajectoryProblem.
func ScoreTrajectory(_ context.Context, s reward.Sample) reward.Verdict {
	problem, ok := s.Answer.(TrajectoryProblem)
	if !ok {
		return reward.Verdict{Status: reward.Error,
			Err: fmt.Errorf("physics: Sample.Answer is %T, want physics.TrajectoryProblem", s.Answer)}
	}
	if err := problem.Validate(); err != nil {
		return reward.Verdict{Status: reward.Error, Err: err}
	}
	text, ok := tableOf(s.Completion)
	if !ok {
		return unparseable(errors.New("physics: no <answer>…</answer> and no fenced block"))
	}
	tr, err := ParseTrajectory(text, problem.coordinates())
	if err != nil {
		return unparseable(err)
	}
	switch err := problem.Check(tr).(type) {
	case nil:
		return reward.Verdict{Status: reward.Correct, Value: 1}
	case *ShapeError, *LawError:
		return reward.Verdict{Status: reward.Wrong, Err: err}
	default:
		return unparseable(err)
	}
}

func tableOf(completion string) (string, bool) {
	completion = reward.AfterThinking(completion)
	if answer, ok := reward.LastAnswer(completion); ok {
		completion = answer
		if !strings.Contains(answer, "```") {
			return answer, true
		}
	}
	before, _, ok := cutLast(completion, "```")
	if !ok {
		return "", false
	}
	_, block, ok := cutLast(before, "```")
	_, table, _ := strings.Cut(block, "\n") // without the label of the block
	return table, ok
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}
