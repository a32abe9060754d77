package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Status is the result of a verifier for one sample. The zero Status is invalid, so a
// verifier that forgets to set it is reported as an error.
type Status uint8

const (
	// Correct means that the sample passes completely.
	Correct Status = iota + 1
	// Wrong means that the sample was read and does not pass, or passes only partly.
	Wrong
	// Unparseable means that the sample has no answer that can be read.
	Unparseable
	// Timeout means that the verifier did not finish by its deadline.
	Timeout
	// Error means that the verifier failed (panic, NaN, wrong type of Sample.Answer, …).
	Error
	// NotApplicable means that the verifier does not score this sample; in TRL, None.
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

// Verdict is the result of one verifier for one sample: a status and a reward.
type Verdict struct {
	// Value is the reward before weighting. It is meaningful only if Status.Scored();
	// otherwise a Suite sets it to 0.
	Value float64
	// Status is the kind of result.
	Status Status
	// Err is the reason why the verdict is not Correct. It is always set for Timeout and
	// Error, and may be nil for other statuses.
	Err error
}

type verdictJSON struct {
	Value  float64 `json:"value"`
	Status Status  `json:"status"`
	Err    string  `json:"err,omitempty"`
}

// MarshalJSON writes {"value":…,"status":"…","err":"…"}. Only the text of Err is kept.
func (v Verdict) MarshalJSON() ([]byte, error) {
	j := verdictJSON{Value: v.Value, Status: v.Status}
	if v.Err != nil {
		j.Err = v.Err.Error()
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads the output of MarshalJSON. Value is restored bit for bit.
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
	// Completion is the text of the completion: the prefill of the template, such as R1's
	// "<think>", and the text that the model generated, without the end-of-sequence token.
	Completion string
	// Answer is the gold answer or the task data that the verifier expects, such as a
	// CountdownProblem.
	Answer any
	// Truncated is set if the completion was cut off at the length limit.
	Truncated bool
	// Group is equal for samples of the same prompt. Only verifiers that compare the samples
	// of a group use it.
	Group int
	// PromptIDs holds the tokens of the prompt, and IDs those of the completion, including
	// the stop token. Length rewards count IDs; trained reward models read both.
	PromptIDs, IDs []int32
}

// Func is a named reward function. Exactly one of Score and ScoreAll must be set. Unless
// Serial is set, they may be called from several goroutines at once. They must not modify the
// samples, and should return soon after their context ends (see [Suite]). They must not panic
// in goroutines that they start, since Suite cannot recover from that.
type Func struct {
	// Name is the <fn> in metrics such as rewards/<fn>/mean.
	Name string
	// Weight multiplies the value in the total; 0 means 1.
	Weight float64
	// MetricOnly excludes the function from the value and the status of the total. Its
	// verdicts are only reported in the metrics.
	MetricOnly bool
	// Score scores one sample.
	Score func(ctx context.Context, s Sample) Verdict
	// ScoreAll scores all samples of a call together and returns one verdict for each, in
	// order. It is for rewards that compare samples.
	ScoreAll func(ctx context.Context, samples []Sample) []Verdict
	// Serial makes Suite.Score call ScoreAll in its own goroutine, without a deadline, after
	// all functions that are not Serial have returned. It is for models on a device, which
	// only one goroutine may use at a time, and for calls that must not be abandoned. ScoreAll
	// should return soon after its context ends.
	Serial bool
}

func (f Func) weight() float64 {
	if f.Weight == 0 {
		return 1
	}
	return f.Weight
}

// checked makes the verdict of a function valid: an invalid verdict becomes an Error, an Error
// caused by the deadline becomes a Timeout, and Value is 0 unless the status is scored.
func (v Verdict) checked(name string) Verdict {
	switch {
	case !v.Status.valid():
		return Verdict{Status: Error, Err: fmt.Errorf("reward: %s: returned a verdict without a status", name)}
	case v.Status == Error && errors.Is(v.Err, context.DeadlineExceeded):
		// The function has returned because its context ended.
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

// pass returns the verdict of a yes-or-no rule: 1 and Correct, or 0 and Wrong.
func pass(ok bool) Verdict {
	if ok {
		return Verdict{Value: 1, Status: Correct}
	}
	return Verdict{Status: Wrong}
}

// failed returns an Error verdict with a formatted reason.
func failed(format string, args ...any) Verdict {
	return Verdict{Status: Error, Err: fmt.Errorf(format, args...)}
}
