package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"

	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// judged is the result of judging a chunk of lines.
type judged struct {
	out      []byte // lines of output
	broken   []line // lines that cannot be read, with err set
	counts   map[reward.Status]int
	problems []problem
}

// problem is the result of one line of input.
type problem struct {
	several    bool // the line has "preds"
	n, correct int  // number of answers, without not_applicable ones, and of correct answers
	maj        []float64
}

// verdict is a line of output.
type verdict struct {
	ID        json.RawMessage `json:"id"`
	Index     *int            `json:"index,omitempty"`
	Verdict   reward.Status   `json:"verdict"`
	Extracted *string         `json:"extracted"`
	Reason    string          `json:"reason,omitempty"`
}

// judge judges all answers of lines.
func (g *grader) judge(ctx context.Context, lines []line) (r judged, err error) {
	var records []record
	var samples []reward.Sample
	for _, l := range lines {
		if l.err == nil {
			var rec record
			var gold any
			if rec, l.err = parse(l.data); l.err == nil && g.rule.Gold != nil {
				gold, l.err = g.rule.Gold(rec.Gold)
			}
			if l.err == nil {
				records = append(records, rec)
				for _, c := range rec.completions() {
					samples = append(samples,
						reward.Sample{Prompt: rec.Prompt, Completion: c, Answer: gold, Truncated: rec.Truncated})
				}
				continue
			}
		}
		r.broken = append(r.broken, line{number: l.number, err: l.err})
	}
	scores, err := g.suite.Score(ctx, samples)
	if err != nil {
		return r, err
	}
	r.counts = scores.Counts[0]
	verdicts := scores.Verdicts[0]
	var out bytes.Buffer
	lineOf := json.NewEncoder(&out)
	lineOf.SetEscapeHTML(false)
	for _, rec := range records {
		n := max(1, len(rec.Preds))
		own, answers := verdicts[:n], make([]*string, n)
		for i, v := range own {
			if g.rule.Extract != nil && v.Status.Scored() {
				if a, ok := g.rule.Extract(samples[i].Completion); ok {
					answers[i] = &a
				}
			}
			line := verdict{ID: rec.ID, Verdict: v.Status, Extracted: answers[i]}
			if rec.Preds != nil {
				line.Index = &i
			}
			if v.Err != nil && v.Status != reward.Correct {
				line.Reason = v.Err.Error()
			}
			if err := lineOf.Encode(line); err != nil {
				return r, err
			}
		}
		p, err := g.problem(ctx, rec, own, answers)
		if err != nil {
			return r, err
		}
		r.problems = append(r.problems, p)
		samples, verdicts = samples[n:], verdicts[n:]
	}
	r.out = out.Bytes()
	return r, nil
}

// problem counts the answers of a record and computes maj@k.
func (g *grader) problem(ctx context.Context, rec record, verdicts []reward.Verdict, answers []*string) (p problem,
	err error) {
	p.several = rec.Preds != nil
	var votes []string // nil unless answers are compared
	if p.several && g.rule.Restate != nil {
		if votes, err = g.votes(ctx, verdicts, answers); err != nil {
			return p, err
		}
	}
	var cast []string
	var correct []bool
	for i, v := range verdicts {
		if v.Status == reward.NotApplicable {
			continue
		}
		correct = append(correct, v.Status == reward.Correct)
		if v.Status == reward.Correct {
			p.correct++
		}
		if votes != nil {
			cast = append(cast, votes[i])
		}
	}
	p.n = len(correct)
	if votes == nil {
		return p, nil
	}
	for _, k := range g.ks {
		if k <= p.n {
			p.maj = append(p.maj, rl.MajAtK(cast, correct, k))
		}
	}
	return p, nil
}

// votes returns a vote for each answer: answers that the reward considers equal have the same
// vote, and answers that could not be parsed have "".
func (g *grader) votes(ctx context.Context, verdicts []reward.Verdict, answers []*string) ([]string, error) {
	votes := make([]string, len(answers))
	seen := map[string]string{} // votes by the text of the answer
	var groups []restated       // first answer of each group of equal answers
	for i, a := range answers {
		if a == nil || verdicts[i].Status != reward.Correct && verdicts[i].Status != reward.Wrong {
			continue
		}
		if _, ok := seen[*a]; !ok {
			seen[*a] = strconv.Itoa(i)
			if gold, completion, ok := g.rule.Restate(*a); ok {
				r := restated{seen[*a], gold, completion}
				j, err := g.alike(ctx, r, groups)
				if err != nil {
					return nil, err
				}
				if j < 0 {
					groups = append(groups, r)
				} else {
					seen[*a] = groups[j].vote
				}
			}
		}
		votes[i] = seen[*a]
	}
	return votes, nil
}

// restated is an answer in two forms: as a gold answer and as a completion.
type restated struct {
	vote       string
	gold       any
	completion string
}

// alike returns the index of the first group whose answer equals r, or -1. Two answers are
// equal if each is correct with the other as the gold answer.
func (g *grader) alike(ctx context.Context, r restated, groups []restated) (int, error) {
	pairs := make([]reward.Sample, len(groups))
	for j, other := range groups {
		pairs[j] = reward.Sample{Completion: r.completion, Answer: other.gold}
	}
	there, err := g.suite.Score(ctx, pairs)
	if err != nil {
		return -1, err
	}
	for j, v := range there.Verdicts[0] {
		if v.Status != reward.Correct {
			continue
		}
		back, err := g.suite.Score(ctx, []reward.Sample{{Completion: groups[j].completion, Answer: r.gold}})
		if err != nil {
			return -1, err
		}
		if back.Verdicts[0][0].Status == reward.Correct {
			return j, nil
		}
	}
	return -1, nil
}
