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

// Judgement is what a judge says about a completion.
type Judgement struct {
	Score  float64 // in [0, 1]
	Reason string  // optional
}

// Judge asks an endpoint. URL and Model are required; other zero values mean the defaults.
// A Judge must not be copied or changed after first use; its methods may be called from
// several goroutines.
type Judge struct {
	// URL is the base of the API, such as "http://localhost:8000/v1".
	URL string
	// Model is the name of the model at the endpoint.
	Model string
	// Key is sent as bearer token; "" sends none.
	Key string
	// Question makes the request's messages; nil means Compare.
	Question func(s reward.Sample) ([]Message, error)
	// Read finds the judgement in the model's answer; nil means ReadScore. An error makes
	// the judge ask again.
	Read func(answer string) (Judgement, error)
	// Pass is the least score that is Correct; 0 means 1.
	Pass float64
	// Temperature is that of sampling; 0 means 1. Greedy asks for temperature 0.
	Temperature float64
	Greedy      bool
	// MaxTokens bounds the answer; 0 means 4096. A longer one is asked for again.
	MaxTokens int
	// Concurrency is the number of requests at once; 0 means 16.
	Concurrency int
	// Timeout is the time one request may take; 0 means 60 s. That of a Suite bounds a call
	// with all its requests and waits, and should be longer.
	Timeout time.Duration
	// Retries is the number of requests after a failed one; 0 means 4, -1 none.
	Retries int
	// Backoff is the wait before the first retry; it doubles with each, to at most a
	// minute, is varied by up to half, and is at least what the endpoint's Retry-After says,
	// up to a minute. 0 means 1 s.
	Backoff time.Duration
	// Cache is the folder of answers; it is made if it is not there. "" caches nothing.
	Cache string
	// Client sends the requests; nil means http.DefaultClient.
	Client *http.Client

	once    sync.Once
	invalid error
	slots   chan struct{}
	mu      sync.Mutex
	flights map[string]*flight // by the request's key
}

// FailureError tells why there is no judgement.
type FailureError struct {
	Requests int   // made
	Last     error // of the last request: a StatusError, an AnswerError, or one of the network
}

func (e *FailureError) Error() string {
	return fmt.Sprintf("judge: no judgement after %d requests: %v", e.Requests, e.Last)
}

func (e *FailureError) Unwrap() error { return e.Last }

// StatusError is an HTTP status that is not 200.
type StatusError struct {
	Code int
	Body string // its beginning
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Code, http.StatusText(e.Code), e.Body)
}

// AnswerError is an answer that is no judgement: broken JSON, another schema, a text that
// Read refuses, or one that was cut off.
type AnswerError struct{ Err error }

func (e *AnswerError) Error() string { return "answer: " + e.Err.Error() }

func (e *AnswerError) Unwrap() error { return e.Err }

// Score judges one sample: the value is the judge's score, and the status Correct from Pass
// on, else Wrong, with the judge's reason in Err. Without a judgement it is a Timeout if the
// last request had no answer in time or ctx ended by its deadline, else an Error; so it is if
// Question fails, or the cache cannot be read or written.
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

// ScoreAll judges samples at once, as many as Concurrency allows. In a Suite it is one call:
// its Timeout is for all of them.
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

// Validate names a field that is missing or out of range.
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
		return fmt.Errorf("judge: Judge.Temperature is %v beside Greedy", j.Temperature)
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
