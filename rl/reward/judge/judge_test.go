package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aha-go/aha/rl/reward"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("AHA_TEST_JUDGE_URL"); url != "" {
		// The process is a run that a test kills.
		j := &Judge{URL: url, Model: "m", Concurrency: 2, Cache: os.Getenv("AHA_TEST_JUDGE_CACHE")}
		j.ScoreAll(context.Background(), tenSamples())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func sample(completion string) reward.Sample {
	return reward.Sample{Prompt: "What is the capital of France?", Completion: completion, Answer: "Paris"}
}

func tenSamples() (samples []reward.Sample) {
	for i := range 10 {
		samples = append(samples, sample(fmt.Sprintf("city %d", i)))
	}
	return samples
}

// say writes a response of the API with the given text.
func say(w http.ResponseWriter, text string) {
	json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{
		"message": map[string]any{"role": "assistant", "content": text}, "finish_reason": "stop"}}})
}

// endpoint is a server whose responses a function writes. It records the requests.
type endpoint struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
}

func serve(t *testing.T, f func(w http.ResponseWriter, r *http.Request, n int)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		e.mu.Lock()
		e.requests = append(e.requests, string(body))
		n := len(e.requests)
		e.mu.Unlock()
		f(w, r, n)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests)
}

// hasty returns a Judge that retries without delay.
func hasty(url string) *Judge {
	return &Judge{URL: url, Model: "m", Backoff: time.Millisecond, Timeout: 10 * time.Second, Retries: 2}
}

const right = `{"reason": "so it is", "score": 1}`

func TestTheEndpointIsAskedAsItsAPIWants(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Method != "POST" || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer secret" ||
			r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		say(w, "<think>{\"score\": 0}</think>Well: ```json\n"+right+"\n```")
	})
	j := hasty(e.URL + "/v1/")
	j.Key, j.Temperature, j.MaxTokens = "secret", 0.5, 99
	v := j.Score(t.Context(), sample("<think>secret thoughts</think>It's \"Paris\""))
	if v != (reward.Verdict{Value: 1, Status: reward.Correct}) {
		t.Errorf("%+v", v)
	}
	var got struct {
		Model       string
		Messages    []Message
		Temperature float64
		MaxTokens   int `json:"max_tokens"`
	}
	if err := json.Unmarshal([]byte(e.requests[0]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Model != "m" || got.Temperature != 0.5 || got.MaxTokens != 99 || len(got.Messages) != 2 ||
		got.Messages[0].Role != "system" || got.Messages[1] != (Message{"user",
		`{"question":"What is the capital of France?","reference":"Paris","answer":"It's \"Paris\""}`}) {
		t.Errorf("%+v", got)
	}
	j = hasty(e.URL + "/v1")
	j.Key, j.Greedy = "secret", true
	j.Score(t.Context(), sample(""))
	if !strings.Contains(e.requests[1], `"temperature":0,`) {
		t.Error(e.requests[1])
	}
}

func TestScoresBecomeVerdicts(t *testing.T) {
	for _, c := range []struct {
		score, pass float64
		status      reward.Status
	}{
		{1, 0, reward.Correct}, {0.99, 0, reward.Wrong}, {0, 0, reward.Wrong},
		{0.5, 0.5, reward.Correct}, {0.4, 0.5, reward.Wrong},
	} {
		e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			say(w, fmt.Sprintf(`{"reason":"why","score":%v}`, c.score))
		})
		j := hasty(e.URL)
		j.Pass = c.pass
		v := j.Score(t.Context(), sample("Lyon"))
		if v.Status != c.status || v.Value != c.score {
			t.Errorf("score %v, pass %v: %+v", c.score, c.pass, v)
		}
		if said := v.Err != nil && strings.Contains(v.Err.Error(), "why"); said != (c.status == reward.Wrong) {
			t.Errorf("score %v: reason in %v", c.score, v.Err)
		}
	}
}

// failures are ways in which an endpoint fails, each with a part of the verdict's error.
var failures = map[string]struct {
	answer func(w http.ResponseWriter, r *http.Request)
	says   string
}{
	"500": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of memory", 500) },
		"500 Internal Server Error: out of memory"},
	"429": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, "429 Too Many Requests"},
	"hang": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"deadline exceeded"},
	"hang after the header": {func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"choices":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, "deadline exceeded"},
	"broken connection": {func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"choices":`)
	}, "unexpected EOF"},
	"truncated JSON": {
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"choices":[{"mess`) },
		"unexpected end of JSON",
	},
	"no JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) }, "invalid character"},
	"wrong schema": {
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"choices":{"text":"x"}}`) },
		"cannot unmarshal",
	},
	"no choices": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"text":"x"}`) }, "no choices"},
	"no content": {
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"choices":[{"message":{}}]}`) },
		"no content",
	},
	"no judgement":    {func(w http.ResponseWriter, _ *http.Request) { say(w, "It is right.") }, "no JSON object"},
	"a word as score": {func(w http.ResponseWriter, _ *http.Request) { say(w, `{"score":"high"}`) }, "no JSON object"},
	"truncated answer": {
		func(w http.ResponseWriter, _ *http.Request) { say(w, `{"reason":"x","score":`) },
		"no JSON object",
	},
	"score of 10": {
		func(w http.ResponseWriter, _ *http.Request) { say(w, `{"score":10}`) },
		"score is 10, want 0 to 1",
	},
	"cut off": {func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"choices":[{"message":{"content":"{\"score\":1}"},"finish_reason":"length"}]}`)
	}, "cut off"},
}

func TestFailuresAreRetried(t *testing.T) {
	for name, f := range failures {
		e := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
			if n <= 2 {
				f.answer(w, r)
			} else {
				say(w, right)
			}
		})
		j := hasty(e.URL)
		if strings.HasPrefix(name, "hang") {
			j.Timeout = time.Second
		}
		if v := j.Score(t.Context(), sample("Paris")); v.Status != reward.Correct || e.count() != 3 {
			t.Errorf("%s: %+v after %d requests", name, v, e.count())
		}
	}
}

func TestFailuresThatStayAreTyped(t *testing.T) {
	for name, f := range failures {
		dir := t.TempDir()
		e := serve(t, func(w http.ResponseWriter, r *http.Request, n int) { f.answer(w, r) })
		j := hasty(e.URL)
		j.Cache = dir
		want := reward.Error
		if strings.HasPrefix(name, "hang") {
			j.Timeout, want = 300*time.Millisecond, reward.Timeout
		}
		v := j.Score(t.Context(), sample("Paris"))
		var failure *FailureError
		if v.Status != want || v.Value != 0 || !errors.As(v.Err, &failure) || failure.Requests != 3 ||
			!strings.Contains(v.Err.Error(), f.says) || e.count() != 3 {
			t.Errorf("%s: %+v after %d requests, want %v and %q", name, v, e.count(), want, f.says)
		}
		if files := kept(t, dir); len(files) > 0 {
			t.Errorf("%s: cached %v", name, files)
		}
	}
}

func kept(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFaultyRequestsAreNotRetried(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	})
	v := hasty(e.URL).Score(t.Context(), sample("Paris"))
	var status *StatusError
	if v.Status != reward.Error || !errors.As(v.Err, &status) || status.Code != 401 || status.Body != "who are you?" ||
		e.count() != 1 {
		t.Errorf("%+v after %d requests", v, e.count())
	}
	e.Close()
	j := hasty(e.URL)
	j.Retries = -1
	var failure *FailureError
	if v := j.Score(t.Context(), sample("Paris")); v.Status != reward.Error || !errors.As(v.Err, &failure) ||
		failure.Requests != 1 {
		t.Errorf("%+v of a closed server", v)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
			return
		}
		say(w, right)
	})
	begin := time.Now()
	if v := hasty(e.URL).Score(t.Context(), sample("Paris")); v.Status != reward.Correct ||
		time.Since(begin) < time.Second {
		t.Errorf("%+v after %v", v, time.Since(begin))
	}
	for value, want := range map[string]time.Duration{"": 0, "x": 0, "-3": 0, "7": 7 * time.Second,
		"99999999999": time.Minute, "Mon, 02 Jan 2006 15:04:05 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": time.Minute} {
		if got := retryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestAKilledRunAsksForNothingTwice(t *testing.T) {
	dir := t.TempDir()
	var answered sync.Map // by the body of the request
	var stop atomic.Bool
	enough := make(chan struct{})
	e := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if !stop.Load() && n > 6 {
			if n == 7 {
				close(enough)
			}
			<-r.Context().Done() // until the process that made the request is killed
			return
		}
		say(w, right)
	})
	run := exec.Command("/proc/self/exe")
	if _, err := os.Stat(run.Path); err != nil {
		run = exec.Command(os.Args[0])
	}
	run.Env = append(os.Environ(), "AHA_TEST_JUDGE_URL="+e.URL, "AHA_TEST_JUDGE_CACHE="+dir)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Error("the run made no request")
	}
	if err := run.Process.Kill(); err != nil {
		t.Error(err)
	}
	run.Wait()
	for _, file := range kept(t, dir) {
		if strings.HasSuffix(file, ".json") {
			text, err := os.ReadFile(file)
			var entry entry
			if err := errors.Join(err, json.Unmarshal(text, &entry)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			answered.Store(string(entry.Request), true)
		}
	}
	before := e.count()
	stop.Store(true)
	j := hasty(e.URL)
	j.Cache = dir
	for i, v := range j.ScoreAll(t.Context(), tenSamples()) {
		if v.Status != reward.Correct {
			t.Errorf("sample %d: %+v", i, v)
		}
	}
	n := 0
	answered.Range(func(any, any) bool { n++; return true })
	// The process may have been killed between an answer and its file.
	if n < 5 || e.count()-before != 10-n {
		t.Errorf("%d answers were cached, %d of 10 were requested again", n, e.count()-before)
	}
	for _, body := range e.requests[before:] {
		if _, ok := answered.Load(body); ok {
			t.Errorf("requested again: %s", body)
		}
	}
	before = e.count()
	if again := j.ScoreAll(t.Context(), tenSamples()); e.count() != before ||
		slices.ContainsFunc(again, func(v reward.Verdict) bool { return v.Status != reward.Correct }) {
		t.Errorf("%d requests for cached answers: %v", e.count()-before, again)
	}
}

func TestTheCacheGoesByContent(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { say(w, right) })
	dir := filepath.Join(t.TempDir(), "a", "b")
	judge := func(model, url string) *Judge {
		j := hasty(url)
		j.Cache, j.Model = dir, model
		return j
	}
	other := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { say(w, `{"score":0}`) })
	s := sample("<b>&\xff")
	for i, c := range []struct {
		j        *Judge
		s        reward.Sample
		requests int
	}{
		{judge("m", e.URL), s, 1}, {judge("m", e.URL), s, 1}, {judge("m", other.URL), s, 1}, {judge("n", e.URL), s, 2},
		{judge("m", e.URL), sample("Lyon"), 3},
	} {
		if v := c.j.Score(t.Context(), c.s); v.Status != reward.Correct || e.count()+other.count() != c.requests {
			t.Errorf("%d: %+v after %d requests, want %d", i, v, e.count()+other.count(), c.requests)
		}
	}
	for _, file := range kept(t, dir) {
		if !strings.HasSuffix(file, ".json") {
			t.Errorf("the cache has the file %s", file)
		}
		if err := os.WriteFile(file, []byte(`{"version":1,"req`), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if v := judge("m", e.URL).Score(t.Context(), s); v.Status != reward.Error ||
		!strings.Contains(v.Err.Error(), ".json: unexpected end") {
		t.Errorf("%+v of a damaged file", v)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	j := hasty(e.URL)
	j.Cache = file
	if v := j.Score(t.Context(), s); v.Status != reward.Error || !strings.Contains(v.Err.Error(), "judge: cache: ") {
		t.Errorf("%+v of a folder that cannot be created", v)
	}
}

func TestRequestsAtOnceAreBoundedAndShared(t *testing.T) {
	var now, most atomic.Int32
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(100 * time.Millisecond)
		say(w, right)
	})
	j := hasty(e.URL)
	j.Concurrency = 3
	for i, v := range j.ScoreAll(t.Context(), append(tenSamples(), tenSamples()...)) {
		if v.Status != reward.Correct {
			t.Errorf("sample %d: %+v", i, v)
		}
	}
	if m := most.Load(); m < 2 || m > 3 {
		t.Errorf("%d concurrent requests, want at most 3", m)
	}
	// Equal samples share a request, unless the first request has ended before the second one.
	if n := e.count(); n < 10 || n >= 20 {
		t.Errorf("%d requests for twice 10 samples", n)
	}
}

func TestCancellationEndsTheWait(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(500) })
	j := &Judge{URL: e.URL, Model: "m", Backoff: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for e.count() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if v := j.Score(ctx, sample("Paris")); v.Status != reward.Error || !errors.Is(v.Err, context.Canceled) {
		t.Errorf("%+v", v)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if v := j.Score(ctx, sample("Paris")); v.Status != reward.Timeout {
		t.Errorf("%+v", v)
	}
}

func TestACancelledAskerDoesNotFailOthers(t *testing.T) {
	began := make(chan struct{})
	e := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			close(began)
			<-r.Context().Done()
			return
		}
		say(w, right)
	})
	j := hasty(e.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() { j.Score(ctx, sample("Paris")) })
	<-began
	both.Go(func() {
		if v := j.Score(t.Context(), sample("Paris")); v.Status != reward.Correct {
			t.Errorf("%+v", v)
		}
	})
	time.Sleep(20 * time.Millisecond)
	cancel()
	both.Wait()
}

func TestOwnQuestionsAndReaders(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { say(w, "B") })
	j := hasty(e.URL)
	j.Question = func(s reward.Sample) ([]Message, error) {
		switch s.Completion {
		case "panics":
			panic("at the question")
		case "fails":
			return nil, errors.New("no question")
		}
		return []Message{{"user", "A or B? " + s.Completion}}, nil
	}
	j.Read = func(answer string) (Judgement, error) {
		return Judgement{Score: map[string]float64{"A": 1, "B": 0.25}[answer]}, nil
	}
	got := j.ScoreAll(t.Context(), []reward.Sample{{Completion: "x"}, {Completion: "panics"}, {Completion: "fails"}})
	if got[0].Value != 0.25 || got[0].Status != reward.Wrong || !strings.Contains(e.requests[0], "A or B? x") {
		t.Errorf("%+v", got[0])
	}
	for i, says := range map[int]string{1: "judge: panic: at the question", 2: "judge: no question"} {
		if got[i].Status != reward.Error || got[i].Err.Error() != says {
			t.Errorf("%+v, want %q", got[i], says)
		}
	}
	if v := hasty(e.URL).Score(t.Context(), reward.Sample{Answer: 3}); v.Status != reward.Error ||
		!strings.Contains(v.Err.Error(), "is int, want string") {
		t.Errorf("%+v", v)
	}
}

func TestIllFormedJudgesAreRefused(t *testing.T) {
	const url = "http://localhost:1/v1"
	for want, j := range map[string]*Judge{
		"Judge.URL is \"\"":         {},
		"Judge.URL is \"localhost:": {URL: "localhost:8000"},
		"Judge.URL is \"http://x?":  {URL: "http://x?key=1", Model: "m"},
		"Judge.Model is empty":      {URL: url},
		"Judge.Pass is 2":           {URL: url, Model: "m", Pass: 2},
		"Judge.Temperature is -1":   {URL: url, Model: "m", Temperature: -1},
		"with Greedy":               {URL: url, Model: "m", Temperature: 1, Greedy: true},
		"Judge.MaxTokens is -1":     {URL: url, Model: "m", MaxTokens: -1},
		"Judge.Concurrency is -1":   {URL: url, Model: "m", Concurrency: -1},
		"Judge.Timeout is -1s":      {URL: url, Model: "m", Timeout: -time.Second},
		"Judge.Retries is -2":       {URL: url, Model: "m", Retries: -2},
		"Judge.Backoff is -1s":      {URL: url, Model: "m", Backoff: -time.Second},
	} {
		if v := j.Score(t.Context(), sample("Paris")); v.Status != reward.Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error with %q", v, want)
		}
	}
}

func TestReadScoreTakesTheLastOuterObject(t *testing.T) {
	for answer, want := range map[string]float64{
		`{"score":0.25,"parts":{"score":1}}`:                             0.25,
		`{"score":1} no: {"score":0.5}`:                                  0.5,
		`{x} {"result":{"score":0.5}}`:                                   0.5,
		`{"reason":"it says {\"score\": 1}","score":0}`:                  0,
		"<think>{\"score\":1}</think>{\"score\":0.5}":                    0.5,
		`{"score":0.5} {"reason":"cut`:                                   0.5,
		strings.Repeat("{", 1<<16) + `{"score":0.5}`:                     0.5,
		strings.Repeat(`{"a":`, 100) + `{"score":0.5}` + `, {"score": 1`: 0.5,
	} {
		if got, err := ReadScore(answer); err != nil || got.Score != want {
			t.Errorf("%.60q: %+v, %v, want %v", answer, got, err, want)
		}
	}
	for _, answer := range []string{`<think>{"score":1}`, strings.Repeat(`{"a":`, 10_000) + `{"score":1}`} {
		if got, err := ReadScore(answer); err == nil {
			t.Errorf("%.40q: %+v", answer, got)
		}
	}
}

func FuzzReadScore(f *testing.F) {
	for _, s := range []string{right, "{{{", `{"score":1}{"score":`, "</think>{\"score\":0.5,\"x\":{}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ReadScore(s)
		if err != nil {
			return
		}
		if again, err := ReadScore(s + " That is my judgement."); again != got || err != nil {
			t.Errorf("%q: %+v, with more words %+v, %v", s, got, again, err)
		}
	})
}
