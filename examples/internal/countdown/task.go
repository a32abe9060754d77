package countdown

import "cmp"

// Task sizes the problems and says how often their traces go wrong. A field that
// is 0 has its value of the full task, so the zero Task is the full one.
type Task struct {
	MaxNumber int     `json:"max_number,omitempty"` // the largest number of a problem, 30 in the full task
	MaxTarget int     `json:"max_target,omitempty"` // the largest target, 99 in the full task
	Faults    float64 `json:"faults,omitempty"`     // how often traces go wrong, as a multiple of the full task
}

// Resolved returns t with fields that are 0 set to the values of the full task.
func (t Task) Resolved() Task {
	t.MaxNumber = cmp.Or(t.MaxNumber, 30)
	t.MaxTarget = cmp.Or(t.MaxTarget, 99)
	t.Faults = cmp.Or(t.Faults, 1)
	return t
}
