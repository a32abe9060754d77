package reward

import (
	"fmt"
	"math"
)

// Scores holds the results of a Suite for a batch of samples. It marshals to JSON for the log
// from which Suite.Replay restores it.
type Scores struct {
	// Functions lists the names, in the order of Suite.Funcs.
	Functions []string `json:"functions"`
	// Verdicts is indexed [function][sample].
	Verdicts [][]Verdict `json:"verdicts"`
	// Totals is indexed [sample]. It combines the verdicts of the functions that are not
	// MetricOnly:
	//   - If a function failed, the total has the status of the first failure, Timeout or
	//     Error. Err names the function, and Value is 0. A sum that lacks a term cannot be
	//     compared with the rest of the group, so the caller must drop the sample or stop.
	//   - If all are NotApplicable, the total is NotApplicable, and Value is 0.
	//   - Otherwise Value is the sum of weight × value over the functions that apply. The
	//     status is Correct if all of these are Correct, otherwise Wrong.
	// Only totals with Status.Scored() are rewards.
	Totals []Verdict `json:"totals"`
	// Counts holds the number of verdicts by status, indexed [function].
	Counts []map[Status]int `json:"counts"`
}

func newScores(funcs []Func, verdicts [][]Verdict, samples int) *Scores {
	s := &Scores{
		Functions: make([]string, len(funcs)),
		Verdicts:  verdicts,
		Totals:    make([]Verdict, samples),
		Counts:    make([]map[Status]int, len(funcs)),
	}
	for f, fn := range funcs {
		s.Functions[f] = fn.Name
		s.Counts[f] = map[Status]int{}
		for _, v := range verdicts[f] {
			s.Counts[f][v.Status]++
		}
	}
	for i := range s.Totals {
		s.Totals[i] = total(funcs, verdicts, i)
	}
	return s
}

func total(funcs []Func, verdicts [][]Verdict, sample int) Verdict {
	sum := Verdict{Status: NotApplicable}
	for f, fn := range funcs {
		v := verdicts[f][sample]
		switch {
		case fn.MetricOnly || v.Status == NotApplicable:
			continue
		case !v.Status.Scored():
			return Verdict{Status: v.Status, Err: fmt.Errorf("%s: %w", fn.Name, v.Err)}
		case v.Status != Correct:
			sum.Status = Wrong
		case sum.Status == NotApplicable:
			sum.Status = Correct
		}
		sum.Value += float64(fn.weight() * v.Value)
	}
	if math.IsNaN(sum.Value) || math.IsInf(sum.Value, 0) {
		return failed("reward: total is %v", sum.Value)
	}
	return sum
}

// Append appends the scores x of further samples by the same functions.
func (s *Scores) Append(x *Scores) {
	for f := range s.Functions {
		s.Verdicts[f] = append(s.Verdicts[f], x.Verdicts[f]...)
		for status, n := range x.Counts[f] {
			s.Counts[f][status] += n
		}
	}
	s.Totals = append(s.Totals, x.Totals...)
}

// Metrics returns, for each function, MetricMean and MetricStd over the samples that it
// scored, and MetricStatus, the number of verdicts with each status, including zeros. The
// standard deviation divides by n−1 and is 0 for one sample. Mean and deviation are absent if
// no sample was scored.
func (s *Scores) Metrics() map[string]float64 {
	m := map[string]float64{}
	for f, name := range s.Functions {
		for status := Correct; status <= NotApplicable; status++ {
			m[MetricStatus(name, status)] = float64(s.Counts[f][status])
		}
		var n, sum float64
		for _, v := range s.Verdicts[f] {
			if v.Status.Scored() {
				n++
				sum += v.Value
			}
		}
		if n == 0 {
			continue
		}
		mean := sum / n
		var squares float64
		for _, v := range s.Verdicts[f] {
			if v.Status.Scored() {
				squares += float64((v.Value - mean) * (v.Value - mean))
			}
		}
		m[MetricMean(name)] = mean
		m[MetricStd(name)] = math.Sqrt(squares / max(n-1, 1))
	}
	return m
}
