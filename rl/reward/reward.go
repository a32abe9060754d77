package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Status says what a verifier found out about one sample. The zero Status is
// invalid, so that a verifier that forgets to set it is reported as an error.
type Status uint8

const (
	// Correct: the sample passes in full.
	Correct Status = iota + 1
	// Wrong: the sample was read and does not pass, or passes in part.
	Wrong
	// Unparseable: the sample holds nothing that can be checked.
	Unparseable
	// Timeout: the verifier did not finish by its deadline.
	Timeout
	// Error: the verifier failed (panic, NaN, wrong type of Sample.Answer, …).
	Error
	// NotApplicable: this verifier does not score this sample; TRL's None.
	NotApplicable
)

var statusNames = [...]string{
	Correct:       "correct",
	Wrong:         "wrong",
	Unparseable:   "unparseable",
	Timeout:       "timeout",
	Error:         "error",
	NotApplicable: "not_applicable",
}

// String returns the name used in logs and metrics, such as "not_applicable".
func (s Status) String() string {
	if !s.valid() {
		return fmt.Sprintf("Status(%d)", uint8(s))
	}
	return statusNames[s]
}

// Scored reports whether a verdict of this status carries a reward: Correct,
// Wrong and Unparseable do; Timeout, Error and NotApplicable do not.
func (s Status) Scored() bool { return s == Correct || s == Wrong || s == Unparseable }

func (s Status) valid() bool { return s >= Correct && s <= NotApplicable }

// MarshalText returns the name of the status. It fails for an invalid status.
func (s Status) MarshalText() ([]byte, error) {
	if !s.valid() {
		return nil, fmt.Errorf("reward: %v has no name", s)
	}
	return []byte(statusNames[s]), nil
}

// UnmarshalText accepts exactly the names that MarshalText writes.
func (s *Status) UnmarshalText(text []byte) error {
	for status := Correct; status <= NotApplicable; status++ {
		if statusNames[status] == string(text) {
			*s = status
			return nil
		}
	}
	return fmt.Errorf("reward: unknown status %q", text)
}

// Verdict is one verifier's answer about one sample.
type Verdict struct {
	// Value is the reward before weighting. It means something only where
	// Status.Scored(); a Suite sets it to 0 elsewhere.
	Value float64
	// Status says how Value came about.
	Status Status
	// Err says why the verdict is not Correct. It is always set for Timeout
	// and Error, and may be nil for the others.
	Err error
}

type verdictJSON struct {
	Value  float64 `json:"value"`
	Status Status  `json:"status"`
	Err    string  `json:"err,omitempty"`
}

// MarshalJSON writes {"value":…,"status":"…","err":"…"}; Err keeps its text only.
func (v Verdict) MarshalJSON() ([]byte, error) {
	j := verdictJSON{Value: v.Value, Status: v.Status}
	if v.Err != nil {
		j.Err = v.Err.Error()
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes. Value comes back bit for bit.
func (v *Verdict) UnmarshalJSON(data []byte) error {
	var j verdictJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*v = Verdict{Value: j.Value, Status: j.Status}
	if j.Err != "" {
		v.Err = errors.New(j.Err)
	}
	return nil
}

// Sample is one completion to score.
type Sample struct {
	// Prompt is the text shown to the model.
	Prompt string
	// Completion is the answer as a reader sees it: what the template prefilled
	// of it (such as R1's "<think>") and what the model generated, without the
	// end-of-sequence token.
	Completion string
	// Answer is the gold answer or the task data the verifier expects, such as
	// a CountdownProblem.
	Answer any
	// Truncated says that the length limit, not the model, ended the completion.
	Truncated bool
	// Group tells which samples answer the same prompt. Only verifiers that
	// compare the samples of a group look at it.
	Group int
	// PromptIDs are the tokens of the prompt, and IDs those of the completion, the stop
	// token included. The length rewards count IDs, trained reward models read both.
	PromptIDs, IDs []int32
}

// Func is a named reward function. Exactly one of Score and ScoreAll is set.
// Unless Serial is set both may be called from several goroutines at once. They must not
// modify the samples. They should return soon after their context ends (see [Suite]), and
// answer for the goroutines they start: a panic there cannot be caught.
type Func struct {
	// Name is the <fn> in metrics such as rewards/<fn>/mean.
	Name string
	// Weight multiplies the value in the total; 0 means 1.
	Weight float64
	// MetricOnly leaves the function out of the total, value and status: it is run
	// and shows in the metrics, and teaches nothing.
	MetricOnly bool
	// Score judges one sample.
	Score func(ctx context.Context, s Sample) Verdict
	// ScoreAll judges all samples of a call together and returns one verdict
	// for each, in order. It is for rewards that compare samples.
	ScoreAll func(ctx context.Context, samples []Sample) []Verdict
	// Serial has ScoreAll called by itself: in the goroutine of Suite.Score, after all
	// functions that are not Serial have returned, and without a deadline. It is for a
	// model on a device, which one goroutine uses at a time, and for calls that are not to
	// be abandoned halfway. It should return soon after its context ends.
	Serial bool
}

func (f Func) weight() float64 {
	if f.Weight == 0 {
		return 1
	}
	return f.Weight
}

// checked enforces the rules of Verdict on what a function returned.
func (v Verdict) checked(name string) Verdict {
	switch {
	case !v.Status.valid():
		return Verdict{Status: Error, Err: fmt.Errorf("reward: %s: returned a verdict without a status", name)}
	case v.Status == Error && errors.Is(v.Err, context.DeadlineExceeded):
		// A function that honours its context says so in its own words.
		return Verdict{Status: Timeout, Err: v.Err}
	case v.Status.Scored() && (math.IsNaN(v.Value) || math.IsInf(v.Value, 0)):
		return Verdict{Status: Error, Err: fmt.Errorf("reward: %s: value is %v", name, v.Value)}
	case !v.Status.Scored():
		v.Value = 0
		if v.Err == nil && v.Status != NotApplicable {
			v.Err = fmt.Errorf("reward: %s: %v, no reason given", name, v.Status)
		}
	}
	return v
}

// pass is the verdict of a yes-or-no rule: 1 and Correct, or 0 and Wrong.
func pass(ok bool) Verdict {
	if ok {
		return Verdict{Value: 1, Status: Correct}
	}
	return Verdict{Status: Wrong}
}

// failed is the Error verdict with a formatted reason.
func failed(format string, args ...any) Verdict {
	return Verdict{Status: Error, Err: fmt.Errorf(format, args...)}
}
