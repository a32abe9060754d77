package main

import (
	"fmt"
	"strings"

	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// summary is what -json prints.
type summary struct {
	Version  int                   `json:"version"` // version of these fields: 1
	Reward   string                `json:"reward"`
	Lines    int                   `json:"lines"` // without empty ones, with broken ones
	Broken   int                   `json:"broken"`
	Answers  int                   `json:"answers"`
	Counts   map[reward.Status]int `json:"counts"`
	Accuracy *float64              `json:"accuracy"` // null if no verdict is applicable
	At       []atK                 `json:"at,omitempty"`

	ks       []int
	compared bool // the reward compares answers, so that they can vote
	several  bool // a line has "preds"
}

// atK holds pass@k and maj@k for one k.
type atK struct {
	K        int      `json:"k"`
	Problems int      `json:"problems"` // number of problems with at least K answers
	Pass     float64  `json:"pass"`
	Maj      *float64 `json:"maj,omitempty"` // absent if the reward does not compare answers
}

func newSummary(name string, ks []int, compared bool) summary {
	s := summary{Version: 1, Reward: name, ks: ks, compared: compared, Counts: map[reward.Status]int{}}
	for status := reward.Correct; status <= reward.NotApplicable; status++ {
		s.Counts[status] = 0
	}
	s.At = make([]atK, len(ks))
	for i, k := range ks {
		s.At[i].K = k
		if compared {
			s.At[i].Maj = new(float64)
		}
	}
	return s
}

// add adds the results of a chunk of lines. At holds sums until finish is called.
func (s *summary) add(j judged, lines int) {
	s.Lines += lines
	s.Broken += len(j.broken)
	for status, n := range j.counts {
		s.Counts[status] += n
		s.Answers += n
	}
	for _, p := range j.problems {
		s.several = s.several || p.several
		for i, k := range s.ks {
			if k > p.n {
				break
			}
			at := &s.At[i]
			at.Problems++
			at.Pass += rl.PassAtK(p.n, p.correct, k)
			switch {
			case !s.compared:
			case p.maj != nil:
				*at.Maj += p.maj[i]
			default: // one answer is its own majority
				*at.Maj += float64(p.correct)
			}
		}
	}
}

// finish turns the sums of At into means and computes the accuracy.
func (s *summary) finish() {
	if n := s.Answers - s.Counts[reward.NotApplicable]; n > 0 {
		accuracy := float64(s.Counts[reward.Correct]) / float64(n)
		s.Accuracy = &accuracy
	}
	all := s.At
	s.At = nil
	for _, at := range all {
		if at.Problems == 0 || !s.several {
			continue
		}
		at.Pass /= float64(at.Problems)
		if at.Maj != nil {
			*at.Maj /= float64(at.Problems)
		}
		s.At = append(s.At, at)
	}
}

// String returns the summary as text.
func (s summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d answers in %d lines, %d of them broken\n", s.Reward, s.Answers, s.Lines, s.Broken)
	for status := reward.Correct; status <= reward.NotApplicable; status++ {
		fmt.Fprintf(&b, "%s %d", status, s.Counts[status])
		if status < reward.NotApplicable {
			b.WriteString(", ")
		}
	}
	if s.Accuracy == nil {
		b.WriteString("\nno accuracy: no answer was judged")
	} else {
		fmt.Fprintf(&b, "\naccuracy %.4f", *s.Accuracy)
	}
	for _, at := range s.At {
		fmt.Fprintf(&b, "\npass@%d %.4f", at.K, at.Pass)
		if at.Maj != nil {
			fmt.Fprintf(&b, ", maj@%d %.4f", at.K, *at.Maj)
		}
		fmt.Fprintf(&b, " (%d problems)", at.Problems)
	}
	return b.String()
}
