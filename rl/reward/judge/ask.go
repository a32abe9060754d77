package judge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aha-go/aha/rl/reward"
)

// request is the body of a request. Its hash is the key of the cache.
type request struct {
	Model       string    `json:"model"`
	Messages    []Message `json:"messages"`
	Temperature float64   `json:"temperature"`
	MaxTokens   int       `json:"max_tokens"`
}

// response holds the fields of the API's response that are used.
type response struct {
	Choices []struct {
		Message struct {
			Content *string `json:"content"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
}

// flight is a request in progress. Equal requests wait for its answer.
type flight struct {
	done   chan struct{}
	answer string
	err    error
}

func (j *Judge) judge(ctx context.Context, s reward.Sample) (Judgement, error) {
	j.once.Do(func() {
		j.invalid = j.Validate()
		j.slots = make(chan struct{}, max(1, cmp.Or(j.Concurrency, 16)))
		j.flights = map[string]*flight{}
	})
	if j.invalid != nil {
		return Judgement{}, j.invalid
	}
	question := j.Question
	if question == nil {
		question = Compare
	}
	messages, err := question(s)
	if err != nil {
		return Judgement{}, fmt.Errorf("judge: %w", err)
	}
	r := request{Model: j.Model, Messages: messages, MaxTokens: cmp.Or(j.MaxTokens, 4096)}
	if !j.Greedy {
		r.Temperature = cmp.Or(j.Temperature, 1)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Judgement{}, fmt.Errorf("judge: %w", err)
	}
	for {
		answer, err := j.share(ctx, body)
		if errors.Is(err, errLeft) && ctx.Err() == nil {
			continue // the caller that made the request was cancelled: make it again
		}
		if err != nil {
			return Judgement{}, err
		}
		return j.read(answer) // answer has already been read without an error
	}
}

// errLeft is the error of a request whose caller's context ended.
var errLeft = errors.New("judge: cancelled")

// share makes a request. If an equal one is in progress, it waits for that instead.
func (j *Judge) share(ctx context.Context, body []byte) (string, error) {
	key := keyOf(body)
	j.mu.Lock()
	if f, ok := j.flights[key]; ok {
		j.mu.Unlock()
		select {
		case <-f.done:
			return f.answer, f.err
		case <-ctx.Done():
			return "", errors.Join(errLeft, context.Cause(ctx))
		}
	}
	f := &flight{done: make(chan struct{}), err: errors.New("judge: the request it waited for panicked")}
	j.flights[key] = f
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.flights, key)
		j.mu.Unlock()
		close(f.done)
	}()
	f.answer, f.err = j.answer(ctx, key, body)
	return f.answer, f.err
}

// answer returns the cached answer. If there is none, it asks the endpoint until Read accepts
// an answer or there are no retries left.
func (j *Judge) answer(ctx context.Context, key string, body []byte) (string, error) {
	if answer, ok, err := j.cached(key, body); ok || err != nil {
		return answer, err
	}
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	case <-ctx.Done():
		return "", errors.Join(errLeft, context.Cause(ctx))
	}
	retries := max(0, cmp.Or(j.Retries, 4))
	wait := cmp.Or(j.Backoff, time.Second)
	for n := 1; ; n++ {
		answer, after, err := j.ask(ctx, body)
		if err == nil {
			if _, err = j.read(answer); err == nil {
				return answer, j.keep(key, body, answer)
			}
			err = &AnswerError{err}
		}
		if ctx.Err() != nil {
			return "", errors.Join(errLeft, context.Cause(ctx), &FailureError{n, err})
		}
		if n > retries || !retryable(err) {
			return "", &FailureError{n, err}
		}
		// The wait is random, so that requests that failed together are not retried together.
		pause := max(wait/2+rand.N(wait/2+1), after)
		wait = min(2*wait, time.Minute)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", errors.Join(errLeft, context.Cause(ctx), &FailureError{n, err})
		}
	}
}

// retryable reports whether a failed request may succeed later. Only a status that means a
// faulty request is final.
func retryable(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) {
		return true
	}
	return status.Code >= 500 || status.Code == http.StatusTooManyRequests || status.Code == http.StatusRequestTimeout
}

// maxBody is the maximum number of bytes read from a response.
const maxBody = 8 << 20

// ask makes one request. after is the wait that the endpoint asks for.
func (j *Judge) ask(ctx context.Context, body []byte) (answer string, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(j.Timeout, time.Minute))
	defer cancel()
	address := strings.TrimSuffix(j.URL, "/") + "/chat/completions"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	if j.Key != "" {
		r.Header.Set("Authorization", "Bearer "+j.Key)
	}
	client := j.Client
	if client == nil {
		client = http.DefaultClient
	}
	got, err := client.Do(r)
	if err != nil {
		return "", 0, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, maxBody+1))
	switch {
	case got.StatusCode != http.StatusOK:
		return "", retryAfter(got.Header), &StatusError{got.StatusCode, strings.TrimSpace(string(text[:min(len(text), 200)]))}
	case err != nil:
		return "", 0, err
	case len(text) > maxBody:
		return "", 0, &AnswerError{fmt.Errorf("more than %d bytes", maxBody)}
	}
	answer, err = content(text)
	if err != nil {
		return "", 0, &AnswerError{err}
	}
	return answer, 0, nil
}

// content returns the text of the first choice of a response.
func content(body []byte) (string, error) {
	var r response
	if err := json.Unmarshal(body, &r); err != nil {
		return "", err
	}
	switch {
	case len(r.Choices) == 0:
		return "", errors.New("it has no choices")
	case r.Choices[0].Message.Content == nil:
		return "", errors.New("its message has no content")
	case r.Choices[0].FinishReason == "length":
		return "", errors.New("it is cut off at max_tokens")
	}
	return *r.Choices[0].Message.Content, nil
}

// retryAfter returns the wait in the header Retry-After, which has seconds or a date, but at
// most a minute.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return min(max(0, time.Duration(seconds)), 60) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(0, time.Until(date)), time.Minute)
	}
	return 0
}
