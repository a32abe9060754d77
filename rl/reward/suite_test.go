package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sameVerdicts compares errors by their text, since a log keeps only that.
var sameVerdicts = cmp.Comparer(func(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
})

func constant(v Verdict) Scorer {
	return func(context.Context, Sample) Verdict { return v }
}

func score(t *testing.T, s *Suite, samples ...Sample) *Scores {
	t.Helper()
	scores, err := s.Score(t.Context(), samples)
	if err != nil {
		t.Fatal(err)
	}
	return scores
}

func TestTotalIsWeightedSumOverApplicableFunctions(t *testing.T) {
	byText := func(verdicts map[string]Verdict) Scorer {
		return func(_ context.Context, s Sample) Verdict { return verdicts[s.Completion] }
	}
	none := Verdict{Status: NotApplicable}
	s := &Suite{Funcs: []Func{
		{Name: "accuracy", Score: byText(map[string]Verdict{
			"both": {Value: 1, Status: Correct}, "format only": none, "neither": none, "wrong": {Status: Wrong},
			"unread": {Value: -1, Status: Unparseable}})},
		{Name: "format", Weight: 0.25, Score: byText(map[string]Verdict{
			"both": {Value: 1, Status: Correct}, "format only": {Value: 1, Status: Correct}, "neither": none,
			"wrong": {Value: 1, Status: Correct}, "unread": {Value: 2, Status: Wrong}})},
	}}
	got := score(t, s, Sample{Completion: "both"}, Sample{Completion: "format only"}, Sample{Completion: "neither"},
		Sample{Completion: "wrong"}, Sample{Completion: "unread"})
	want := []Verdict{
		{Value: 1.25, Status: Correct},
		{Value: 0.25, Status: Correct},
		{Status: NotApplicable},
		{Value: 0.25, Status: Wrong},
		{Value: -0.5, Status: Wrong},
	}
	if diff := cmp.Diff(want, got.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	counts := []map[Status]int{
		{Correct: 1, NotApplicable: 2, Wrong: 1, Unparseable: 1},
		{Correct: 3, NotApplicable: 1, Wrong: 1},
	}
	if diff := cmp.Diff(counts, got.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestPanicBecomesErrorWithValueAndPlace(t *testing.T) {
	var none []int
	s := &Suite{Funcs: []Func{
		{Name: "ok", Score: constant(Verdict{Value: 1, Status: Correct})},
		{Name: "index", Score: func(_ context.Context, s Sample) Verdict {
			if s.Completion == "bad" {
				return Verdict{Value: float64(none[3]), Status: Correct}
			}
			return Verdict{Value: 1, Status: Correct}
		}},
	}}
	got := score(t, s, Sample{Completion: "good"}, Sample{Completion: "bad"})
	v := got.Verdicts[1][1]
	var p *PanicError
	if v.Status != Error || v.Value != 0 || !errors.As(v.Err, &p) {
		t.Fatalf("verdict %+v, want Error with a PanicError", v)
	}
	for _, part := range []string{"index:", "index out of range [3]", "TestPanicBecomesErrorWithValueAndPlace",
		"suite_test.go:"} {
		if !strings.Contains(p.Error(), part) {
			t.Errorf("error %q does not contain %q", p, part)
		}
	}
	if got.Totals[0].Value != 2 || got.Totals[1].Status != Error || got.Totals[1].Value != 0 {
		t.Errorf("totals %+v, want 2 and an Error", got.Totals)
	}
}

func TestExplicitPanicAndGoexitAreReported(t *testing.T) {
	for name, f := range map[string]func(){
		"boom":           func() { panic("boom") },
		"runtime.Goexit": runtime.Goexit,
	} {
		s := &Suite{Funcs: []Func{{Name: "f", Score: func(context.Context, Sample) Verdict { f(); return Verdict{} }}}}
		v := score(t, s, Sample{}).Verdicts[0][0]
		if v.Status != Error || !strings.Contains(v.Err.Error(), name) {
			t.Errorf("verdict %+v, want an Error that says %q", v, name)
		}
	}
}

func TestHangBecomesTimeoutAndIsCountedUntilItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &Suite{Funcs: []Func{
			{Name: "hangs", Score: func(_ context.Context, s Sample) Verdict {
				if s.Completion == "hang" {
					<-release
				}
				return Verdict{Value: 1, Status: Correct}
			}},
		}}
		start := time.Now()
		got := score(t, s, Sample{Completion: "hang"}, Sample{})
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the call was abandoned after %v, want the default of 10 s", took)
		}
		if v := got.Verdicts[0][0]; v.Status != Timeout || v.Value != 0 || !strings.Contains(v.Err.Error(), "hangs") {
			t.Errorf("verdict %+v, want Timeout naming the function", v)
		}
		if got.Counts[0][Timeout] != 1 || got.Totals[0].Status != Timeout || got.Totals[1].Value != 1 {
			t.Errorf("scores %+v, want one timeout and one total of 1", got)
		}
		if n := s.Abandoned(); n != 1 {
			t.Errorf("%d abandoned calls, want 1", n)
		}
		close(release)
		synctest.Wait()
		if n := s.Abandoned(); n != 0 {
			t.Errorf("%d abandoned calls after all returned, want 0", n)
		}
	})
}

func TestDeadlineReachesTheFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Suite{Timeout: time.Second, Funcs: []Func{{Name: "polite", Score: func(ctx context.Context, _ Sample) Verdict {
			<-ctx.Done()
			return failed("gave up: %w", ctx.Err())
		}}}}
		if v := score(t, s, Sample{}).Verdicts[0][0]; v.Status != Timeout {
			t.Errorf("verdict %+v, want Timeout", v)
		}
		synctest.Wait()
		if n := s.Abandoned(); n != 0 {
			t.Errorf("%d abandoned calls, want 0", n)
		}
	})
}

func TestTooManyAbandonedCallsAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		s := &Suite{Timeout: time.Second, Workers: 1, MaxAbandoned: 3, Funcs: []Func{
			{Name: "hangs", Score: func(context.Context, Sample) Verdict { calls.Add(1); <-release; return pass(true) }},
		}}
		scores, err := s.Score(t.Context(), make([]Sample, 10))
		if err == nil || !strings.Contains(err.Error(), "limit is 3") {
			t.Errorf("scores %v, error %v, want the limit in an error", scores, err)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%d calls started, want 3", n)
		}
		close(release)
	})
}

func TestCancelledContextEndsScoring(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &Suite{Workers: 1, Funcs: []Func{{Name: "f", Score: func(ctx context.Context, _ Sample) Verdict {
		cancel()
		<-ctx.Done()
		return pass(true)
	}}}}
	if scores, err := s.Score(ctx, make([]Sample, 5)); !errors.Is(err, context.Canceled) {
		t.Errorf("scores %v, error %v, want context.Canceled", scores, err)
	}
}

func TestCallsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Suite{Workers: 3, Funcs: []Func{{Name: "slow", Score: func(context.Context, Sample) Verdict {
			time.Sleep(time.Second)
			return pass(true)
		}}}}
		start := time.Now()
		score(t, s, make([]Sample, 10)...)
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("10 calls of 1 s by 3 workers took %v, want 4 s", took)
		}
	})
}

func TestResultsDoNotDependOnScheduling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := func(s Sample) float64 { return float64(len(s.IDs)*len(s.IDs)%17) / 7 }
		funcs := []Func{
			{Name: "one", Weight: 0.3, Score: func(_ context.Context, s Sample) Verdict {
				time.Sleep(time.Duration(len(s.IDs)*7919%31) * time.Millisecond)
				return Verdict{Value: value(s), Status: Wrong}
			}},
			{Name: "all", Weight: -1.7, ScoreAll: func(_ context.Context, samples []Sample) []Verdict {
				verdicts := make([]Verdict, len(samples))
				for i, s := range samples {
					verdicts[i] = Verdict{Value: value(s) / 3, Status: Wrong}
				}
				return verdicts
			}},
		}
		samples := make([]Sample, 40)
		for i := range samples {
			samples[i].IDs = make([]int32, i)
		}
		want := score(t, &Suite{Workers: 1, Funcs: funcs}, samples...)
		for i, s := range samples {
			if got := want.Totals[i].Value; got != float64(0.3*value(s))+float64(-1.7*(value(s)/3)) {
				t.Fatalf("sample %d has total %v", i, got)
			}
		}
		for _, workers := range []int{2, 5, 64} {
			got := score(t, &Suite{Workers: workers, Funcs: funcs}, samples...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d workers (-1 worker +%d workers):\n%s", workers, workers, diff)
			}
		}
	})
}

func TestImpossibleVerdictsBecomeErrors(t *testing.T) {
	for name, v := range map[string]Verdict{
		"value is NaN":      {Value: math.NaN(), Status: Correct},
		"value is +Inf":     {Value: math.Inf(1), Status: Wrong},
		"without a status":  {Value: 1},
		"no reason given":   {Value: 1, Status: Error},
		"total is +Inf":     {Value: math.MaxFloat64, Status: Correct},
		"verifier is broke": {Status: Error, Err: errors.New("verifier is broke")},
	} {
		s := &Suite{Funcs: []Func{{Name: "f", Weight: 4, Score: constant(v)}}}
		got := score(t, s, Sample{}).Totals[0]
		if got.Status != Error || got.Value != 0 || !strings.Contains(got.Err.Error(), name) {
			t.Errorf("%+v gives total %+v, want an Error that says %q", v, got, name)
		}
	}
}

func TestBatchFunctionMustAnswerForEverySample(t *testing.T) {
	s := &Suite{Funcs: []Func{{Name: "short", ScoreAll: func(context.Context, []Sample) []Verdict {
		return []Verdict{pass(true)}
	}}}}
	for i, v := range score(t, s, make([]Sample, 3)...).Verdicts[0] {
		if v.Status != Error || !strings.Contains(v.Err.Error(), "1 verdicts for 3 samples") {
			t.Errorf("sample %d: verdict %+v, want an Error with both counts", i, v)
		}
	}
}

// A Serial function runs after the others, one at a time, in the goroutine of Score and without
// a deadline. A panic gives an Error verdict.
func TestSerialFunctionsRunAloneWithoutADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, slow atomic.Int64
		alone := func(ctx context.Context, samples []Sample) []Verdict {
			if n := running.Add(1); n != 1 {
				t.Errorf("%d functions run at once", n)
			}
			defer running.Add(-1)
			if slow.Load() != 3 {
				t.Errorf("%d calls of other functions have returned, want 3", slow.Load())
			}
			if _, ok := ctx.Deadline(); ok {
				t.Error("there is a deadline")
			}
			time.Sleep(time.Hour)
			return repeat(len(samples), Verdict{Value: float64(len(samples)), Status: Wrong})
		}
		s := &Suite{Timeout: time.Second, Funcs: []Func{
			{Name: "first", ScoreAll: alone, Serial: true},
			{Name: "slow", Score: func(context.Context, Sample) Verdict {
				running.Add(1)
				defer running.Add(-1)
				time.Sleep(time.Millisecond)
				slow.Add(1)
				return pass(true)
			}},
			{Name: "second", ScoreAll: alone, Serial: true},
			{Name: "broken", Serial: true, ScoreAll: func(context.Context, []Sample) []Verdict { panic("no model") }},
			{Name: "short", Serial: true, ScoreAll: func(context.Context, []Sample) []Verdict { return nil }},
		}}
		got := score(t, s, make([]Sample, 3)...)
		for f, want := range []string{"wrong", "correct", "wrong", "error", "error"} {
			for i, v := range got.Verdicts[f] {
				if v.Status.String() != want {
					t.Errorf("%s, sample %d: %v", got.Functions[f], i, v)
				}
			}
		}
		if err := got.Verdicts[3][0].Err; !strings.Contains(err.Error(), "no model") {
			t.Error(err)
		}
		if err := got.Verdicts[4][0].Err; !strings.Contains(err.Error(), "0 verdicts for 3 samples") {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.Funcs[0].ScoreAll = func(context.Context, []Sample) []Verdict { cancel(); return nil }
		slow.Store(0)
		if _, err := s.Score(ctx, make([]Sample, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("an interrupted function gives %v", err)
		}
	})
}

func TestIllFormedSuitesAreRefused(t *testing.T) {
	ok := constant(pass(true))
	all := func(context.Context, []Sample) []Verdict { return nil }
	for want, s := range map[string]*Suite{
		"Funcs is empty":          {},
		`two functions are name`:  {Funcs: []Func{{Name: "a", Score: ok}, {Name: "a", Score: ok}}},
		"has no name":             {Funcs: []Func{{Score: ok}}},
		`"a" must set exactly`:    {Funcs: []Func{{Name: "a"}}},
		`"b" must set exactly`:    {Funcs: []Func{{Name: "b", Score: ok, ScoreAll: all}}},
		"Funcs[0].Weight":         {Funcs: []Func{{Name: "a", Score: ok, Weight: math.NaN()}}},
		"Suite.Workers is -1":     {Funcs: []Func{{Name: "a", Score: ok}}, Workers: -1},
		"Suite.Timeout is -1s":    {Funcs: []Func{{Name: "a", Score: ok}}, Timeout: -time.Second},
		"Suite.MaxAbandoned is -": {Funcs: []Func{{Name: "a", Score: ok}}, MaxAbandoned: -1},
	} {
		if _, err := s.Score(t.Context(), make([]Sample, 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestReplayOfLoggedScoresIsIdentical(t *testing.T) {
	verdicts := []Verdict{
		{Value: 0.1 + 0.2, Status: Wrong},
		{Status: NotApplicable},
		{Status: Timeout, Err: errors.New("hung")},
		{Value: math.SmallestNonzeroFloat64, Status: Correct},
	}
	s := &Suite{Funcs: []Func{
		{Name: "logged", Weight: 0.7, Score: func(_ context.Context, s Sample) Verdict { return verdicts[len(s.IDs)] }},
		{Name: "panics", Weight: 3, Score: func(_ context.Context, s Sample) Verdict {
			if len(s.IDs) == 1 {
				panic("at sample 1")
			}
			return Verdict{Value: 1.0 / 3, Status: Unparseable}
		}},
	}}
	want := score(t, s, Sample{}, Sample{IDs: make([]int32, 1)}, Sample{IDs: make([]int32, 2)},
		Sample{IDs: make([]int32, 3)})
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var logged Scores
	if err := json.Unmarshal(data, &logged); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &logged, sameVerdicts); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
	for f := range s.Funcs {
		s.Funcs[f].Score = func(context.Context, Sample) Verdict { panic("replay must not call functions") }
	}
	got, err := s.Replay(&logged, 4)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameVerdicts); diff != "" {
		t.Errorf("after replay (-want +got):\n%s", diff)
	}
}

func TestReplayRefusesAnotherRunsLog(t *testing.T) {
	s := &Suite{Funcs: []Func{{Name: "a", Score: constant(pass(true))}}}
	for want, log := range map[string]string{
		`log has functions ["b"]`: `{"functions":["b"],"verdicts":[[{"value":1,"status":"correct"}]]}`,
		"verdicts of 0 functions": `{"functions":["a"],"verdicts":[]}`,
		"2 verdicts for 1 samples": `{"functions":["a"],` +
			`"verdicts":[[{"value":1,"status":"correct"},{"value":1,"status":"correct"}]]}`,
		"impossible verdict timeout": `{"functions":["a"],"verdicts":[[{"value":1,"status":"timeout"}]]}`,
	} {
		var logged Scores
		if err := json.Unmarshal([]byte(log), &logged); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Replay(&logged, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	var logged Scores
	if err := json.Unmarshal([]byte(`{"verdicts":[[{"value":1,"status":"splendid"}]]}`), &logged); err == nil {
		t.Error("an unknown status was accepted")
	}
}

func TestMetricsCoverScoredSamplesOnly(t *testing.T) {
	verdicts := []Verdict{
		{Value: 1, Status: Correct}, {Value: 0, Status: Wrong}, {Value: 0.5, Status: Unparseable},
		{Status: Timeout}, {Status: NotApplicable},
	}
	s := &Suite{Funcs: []Func{
		{Name: "f", Score: func(_ context.Context, s Sample) Verdict { return verdicts[len(s.IDs)] }},
		{Name: "g", Score: constant(Verdict{Status: NotApplicable})},
	}}
	var samples []Sample
	for i := range verdicts {
		samples = append(samples, Sample{IDs: make([]int32, i)})
	}
	want := map[string]float64{
		"rewards/f/mean": 0.5, "rewards/f/std": 0.5, // values 1, 0, 0.5
		"rewards/f/correct": 1, "rewards/f/wrong": 1, "rewards/f/unparseable": 1,
		"rewards/f/timeout": 1, "rewards/f/error": 0, "rewards/f/not_applicable": 1,
		"rewards/g/correct": 0, "rewards/g/wrong": 0, "rewards/g/unparseable": 0,
		"rewards/g/timeout": 0, "rewards/g/error": 0, "rewards/g/not_applicable": 5,
	}
	if diff := cmp.Diff(want, score(t, s, samples...).Metrics()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func ExampleSuite() {
	suite := Suite{Funcs: []Func{
		{Name: "countdown", Score: Countdown{}.Score},
		{Name: "format", Weight: 0.1, Score: ThinkAnswerFormat},
	}}
	problem := CountdownProblem{Numbers: []int{19, 29, 16}, Target: 32}
	scores, err := suite.Score(context.Background(), []Sample{
		{Answer: problem, Completion: "<think>29-19=10,10-16=6?32no\n" +
			"16+29=45,45-19=26?32no</think><answer>19-16+29</answer>"},
		{Answer: problem, Completion: "<think>29-16=13,13+19=32?32yes</think><answer>29-16+16</answer>"},
		{Answer: problem, Completion: "<think>29-16=13,13+19=32?32yes</think>29-16+19"},
		{Answer: "32"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, total := range scores.Totals {
		fmt.Printf("%.1f %v (countdown: %v)\n", total.Value, total.Status, scores.Verdicts[0][i].Status)
	}
	fmt.Println(scores.Verdicts[0][1].Err)
	fmt.Println(scores.Verdicts[0][3].Err)
	// Output:
	// 1.1 correct (countdown: correct)
	// 0.1 wrong (countdown: wrong)
	// 0.0 wrong (countdown: unparseable)
	// 0.0 error (countdown: error)
	// countdown: uses [16 16 29], want [16 19 29]
	// countdown: Sample.Answer is string, want reward.CountdownProblem
}

// A MetricOnly function is run and reported, and does not change the totals.
func TestMetricOnlyFunctionsAddNothing(t *testing.T) {
	verdicts := []Verdict{
		{Value: 5, Status: Wrong}, {Value: 7, Status: Correct}, {Status: NotApplicable},
		{Status: Error, Err: errors.New("boom")},
	}
	judge := Func{Name: "judge", Weight: 0.5, Score: func(_ context.Context, s Sample) Verdict {
		return Verdict{Value: float64(len(s.IDs)), Status: Correct}
	}}
	watch := Func{Name: "watch", Weight: 3, MetricOnly: true, Score: func(_ context.Context, s Sample) Verdict {
		return verdicts[len(s.IDs)]
	}}
	samples := []Sample{{}, {IDs: make([]int32, 1)}, {IDs: make([]int32, 2)}, {IDs: make([]int32, 3)}}
	got := score(t, &Suite{Funcs: []Func{judge, watch}}, samples...)
	want := score(t, &Suite{Funcs: []Func{judge}}, samples...)
	if !reflect.DeepEqual(got.Totals, want.Totals) {
		t.Errorf("totals %v, without the metric %v", got.Totals, want.Totals)
	}
	m := got.Metrics()
	if m[MetricMean("watch")] != 6 || m[MetricStatus("watch", Error)] != 1 {
		t.Errorf("metrics %v", m)
	}
	err := (&Suite{Funcs: []Func{watch}}).Validate()
	if err == nil || !strings.Contains(err.Error(), "all of Suite.Funcs are MetricOnly") {
		t.Errorf("a suite without a reward: %v", err)
	}
}
