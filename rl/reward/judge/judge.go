package judge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aha-go/aha/rl/reward"
)

// Message is one message of the request.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// Judgement is the judge's score for a completion.
type Judgement struct {
	Score  float64 // in [0, 1]
	Reason string  // optional
}

// Judge scores completions with a model behind an endpoint. URL and Model are required; for
// other fields the zero value means the default. A Judge must not be copied or changed after
// first use. Its methods may be called from several goroutines.
type Judge struct {
	// URL is the base of the API, such as "http://localhost:8000/v1".
	URL string
	// Model is the name of the model at the endpoint.
	Model string
	// Key is sent as bearer token; if "", none is sent.
	Key string
	// Question returns the messages of the request; nil means Compare.
	Question func(s reward.Sample) ([]Message, error)
	// Read parses the model's answer; nil means ReadScore. If it returns an error, the request
	// is retried.
	Read func(answer string) (Judgement, error)
	// Pass is the least score with status Correct; 0 means 1.
	Pass float64
	// Temperature is the sampling temperature; 0 means 1. Set Greedy for temperature 0.
	Temperature float64
	Greedy      bool
	// MaxTokens limits the answer; 0 means 4096. If the answer is cut off, the request is
	// retried.
	MaxTokens int
	// Concurrency is the maximum number of concurrent requests; 0 means 16.
	Concurrency int
	// Timeout is the time limit of one request; 0 means 60 s. Suite.Timeout limits a call with
	// all its requests and waits, and should be longer.
	Timeout time.Duration
	// Retries is the maximum number of retries of a request; 0 means 4, -1 none.
	Retries int
	// Backoff is the wait before the first retry; 0 means 1 s. It doubles with each retry, up
	// to a minute. The actual wait is random between half and all of it, and at least the
	// endpoint's Retry-After, up to a minute.
	Backoff time.Duration
	// Cache is the folder of cached answers, which is created if it does not exist. If "",
	// answers are not cached.
	Cache string
	// Client sends the requests; nil means http.DefaultClient.
	Client *http.Client

	once    sync.Once
	invalid error
	slots   chan struct{}
	mu      sync.Mutex
	flights map[string]*flight // by the key of the request
}

// FailureError is the reason why there is no judgement.
type FailureError struct {
	Requests int   // number of requests made
	Last     error // error of the last request: a StatusError, an AnswerError or a network error
}

func (e *FailureError) Error() string {
	return fmt.Sprintf("judge: no judgement after %d requests: %v", e.Requests, e.Last)
}

func (e *FailureError) Unwrap() error { return e.Last }

// StatusError is a response with an HTTP status other than 200.
type StatusError struct {
	Code int
	Body string // beginning of the body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Code, http.StatusText(e.Code), e.Body)
}

// AnswerError is an invalid answer: broken JSON, another schema, a text for which Read returns
// an error, or a text that was cut off.
type AnswerError struct{ Err error }

func (e *AnswerError) Error() string { return "answer: " + e.Err.Error() }

func (e *AnswerError) Unwrap() error { return e.Err }

// Score scores one sample. The value is the judge's score. The status is Correct if the score
// is at least Pass, otherwise Wrong with the judge's reason in Err. If there is no judgement,
// the status is Timeout if the last request timed out or ctx ended by its deadline, otherwise
// Error. If Question fails, or the cache cannot be read or written, the status is Error.
func (j *Judge) Score(ctx context.Context, s reward.Sample) reward.Verdict {
	judgement, err := j.judge(ctx, s)
	switch pass := j.pass(); {
	case errors.Is(err, context.DeadlineExceeded):
		return reward.Verdict{Status: reward.Timeout, Err: err}
	case err != nil:
		return reward.Verdict{Status: reward.Error, Err: err}
	case judgement.Score >= pass:
		return reward.Verdict{Status: reward.Correct, Value: judgement.Score}
	default:
		return reward.Verdict{Status: reward.Wrong, Value: judgement.Score,
			Err: fmt.Errorf("judge: score %v, want %v: %s", judgement.Score, pass, judgement.Reason)}
	}
}

// ScoreAll scores samples concurrently, as many at a time as Concurrency allows. In a Suite
// this is one call, so Suite.Timeout applies to all samples together.
func (j *Judge) ScoreAll(ctx context.Context, samples []reward.Sample) []reward.Verdict {
	verdicts := make([]reward.Verdict, len(samples))
	var all sync.WaitGroup
	for i, s := range samples {
		all.Go(func() {
			defer func() {
				if value := recover(); value != nil {
					verdicts[i] = reward.Verdict{Status: reward.Error, Err: fmt.Errorf("judge: panic: %v", value)}
				}
			}()
			verdicts[i] = j.Score(ctx, s)
		})
	}
	all.Wait()
	return verdicts
}

func (j *Judge) pass() float64 {
	if j.Pass == 0 {
		return 1
	}
	return j.Pass
}

// Validate reports a field that is missing or out of range.
func (j *Judge) Validate() error {
	u, err := url.Parse(j.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("judge: Judge.URL is %q, want the base of an API, such as http://localhost:8000/v1", j.URL)
	case j.Model == "":
		return errors.New("judge: Judge.Model is empty")
	case !(j.Pass >= 0 && j.Pass <= 1):
		return fmt.Errorf("judge: Judge.Pass is %v, want 0 to 1", j.Pass)
	case !(j.Temperature >= 0) || math.IsInf(j.Temperature, 0):
		return fmt.Errorf("judge: Judge.Temperature is %v, want 0 or more", j.Temperature)
	case j.Greedy && j.Temperature != 0:
		return fmt.Errorf("judge: Judge.Temperature is %v with Greedy", j.Temperature)
	case j.MaxTokens < 0:
		return fmt.Errorf("judge: Judge.MaxTokens is %d, want 0 or more", j.MaxTokens)
	case j.Concurrency < 0:
		return fmt.Errorf("judge: Judge.Concurrency is %d, want 0 or more", j.Concurrency)
	case j.Timeout < 0:
		return fmt.Errorf("judge: Judge.Timeout is %v, want 0 or more", j.Timeout)
	case j.Retries < -1:
		return fmt.Errorf("judge: Judge.Retries is %d, want -1 or more", j.Retries)
	case j.Backoff < 0:
		return fmt.Errorf("judge: Judge.Backoff is %v, want 0 or more", j.Backoff)
	}
	return nil
}
