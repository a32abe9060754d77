package distill

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// spell writes tokens as letters.
func spell(ids []int32) string {
	var text strings.Builder
	for _, id := range ids {
		text.WriteByte(byte('a' + id))
	}
	return text.String()
}

// prompts returns n prompts of one or two tokens.
func prompts(n int) []rollout.Prompt {
	out := make([]rollout.Prompt, n)
	for i := range out {
		ids := []int32{int32(i % 12), int32(i / 12 % 12)}[:1+i%2]
		out[i] = rollout.Prompt{IDs: ids, Text: spell(ids), Prefill: ">", Answer: i}
	}
	return out
}

// rejection samples from a random teacher whose completions end at one of three stop
// tokens, in a vocabulary of twelve, or after six tokens.
func rejection(t testing.TB, score func(s reward.Sample) reward.Verdict) *Rejection {
	t.Helper()
	m := newModel(t, newCPU(t), dense(), 61, backend.F32)
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 16, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return &Rejection{
		Sampler: &rollout.Generator{Generator: g, Decode: spell, MaxTokens: 6, Stop: []int32{0, 1, 2}},
		Reward: &reward.Suite{Funcs: []reward.Func{{Name: "test", Score: func(_ context.Context,
			s reward.Sample) reward.Verdict {
			return score(s)
		}}}},
		Seed: 62,
	}
}

// verdict accepts completions of even length, rejects those of odd length, and fails on
// those that begin with d or e.
func verdict(s reward.Sample) reward.Verdict {
	switch {
	case strings.HasPrefix(s.Completion, ">d"):
		return reward.Verdict{Status: reward.Error, Err: errors.New("no d, please")}
	case strings.HasPrefix(s.Completion, ">e"):
		return reward.Verdict{Status: reward.NotApplicable}
	case len(s.IDs)%2 == 0:
		return reward.Verdict{Status: reward.Correct, Value: 1}
	}
	return reward.Verdict{Status: reward.Wrong, Value: 0.9}
}

func collect(t testing.TB, r *Rejection, prompts []rollout.Prompt) *Collection {
	t.Helper()
	c, err := r.Collect(t.Context(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnlyCompleteAndCorrectTracesAreKept(t *testing.T) {
	r, ps := rejection(t, verdict), prompts(40)
	r.N = 5
	c := collect(t, r, ps)

	// Compute the expected result from the same samples.
	samples, err := r.Sampler.Sample(t.Context(), ps,
		rollout.Draw{Seed: model.DeriveSeed(62, "rejection sampling", 0), N: 5})
	if err != nil {
		t.Fatal(err)
	}
	want := Collection{Prompts: ps, Sampled: 200}
	for _, s := range samples {
		v := verdict(reward.Sample{Completion: s.Text, IDs: s.IDs})
		want.Tokens += len(s.IDs)
		if s.Finish == model.Truncated {
			want.Truncated++
		}
		if v.Status == reward.Error || v.Status == reward.NotApplicable {
			want.Failed++
		}
		if v.Status == reward.Correct && s.Finish == model.Stopped {
			want.Traces = append(want.Traces, Trace{s.Prompt, s.IDs, s.Text})
		}
	}
	t.Logf("%d sampled, %d kept, %d truncated, %d failed: %v", c.Sampled, len(c.Traces), c.Truncated, c.Failed, c.Failure)
	if c.Failure == nil || !strings.Contains(c.Failure.Error(), "no d, please") && !strings.Contains(c.Failure.Error(),
		"no reward function applies") {
		t.Errorf("the first failure is %v", c.Failure)
	}
	c.Failure = nil
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("kept %+v\nwant %+v", *c, want)
	}
	if len(want.Traces) < 10 || want.Truncated < 10 || want.Failed < 10 {
		t.Errorf("the test covers too few cases: %d kept, %d truncated, %d failed", len(want.Traces), want.Truncated,
			want.Failed)
	}
	for i, q := range c.Sequences() {
		tr := c.Traces[i]
		if !reflect.DeepEqual(q, Response(ps[tr.Prompt].IDs, tr.IDs)) {
			t.Fatalf("sequence %d is %v, its trace %v", i, q, tr)
		}
	}
}

func TestFailureNamesTheFirstReason(t *testing.T) {
	r := rejection(t, func(reward.Sample) reward.Verdict {
		return reward.Verdict{Status: reward.Error, Err: errors.New("checker broken")}
	})
	c := collect(t, r, prompts(3))
	if len(c.Traces) != 0 || c.Failed != 12 || c.Failure == nil || !strings.Contains(c.Failure.Error(), "checker broken") {
		t.Errorf("%d traces, %d failed, %v; want none, all 12 of 4 a prompt, and the reason", len(c.Traces), c.Failed,
			c.Failure)
	}
}

func TestMaxPerPromptTakesTheFirstOfAPrompt(t *testing.T) {
	r, ps := rejection(t, verdict), prompts(30)
	r.N = 8
	all := collect(t, r, ps)
	r.MaxPerPrompt = 2
	var want []Trace
	count := map[int]int{}
	for _, tr := range all.Traces {
		if count[tr.Prompt]++; count[tr.Prompt] <= 2 {
			want = append(want, tr)
		}
	}
	if got := collect(t, r, ps).Traces; !reflect.DeepEqual(got, want) || len(want) == len(all.Traces) {
		t.Errorf("kept %v of %v, want %v", got, all.Traces, want)
	}
}

func TestTracesDependOnSeedAndPlaceAlone(t *testing.T) {
	r := rejection(t, verdict)
	r.N = 1
	var done []int
	r.Progress = func(n, total int) { done = append(done, n, total) }
	ps := prompts(300) // more than a chunk
	all := collect(t, r, ps)
	if want := []int{256, 300, 300, 300}; !slices.Equal(done, want) {
		t.Errorf("progress %v, want %v", done, want)
	}
	var first []Trace
	for _, tr := range all.Traces {
		if tr.Prompt < 256 {
			first = append(first, tr)
		}
	}
	if got := collect(t, r, ps[:256]).Traces; !reflect.DeepEqual(got, first) {
		t.Error("traces of the first prompts depend on whether others follow")
	}
	r.Seed++
	if reflect.DeepEqual(collect(t, r, ps).Traces, all.Traces) {
		t.Error("another seed wrote the same traces")
	}
}

func TestResponseWeighsTheResponseAlone(t *testing.T) {
	for _, c := range []struct {
		prompt, response []int32
		want             []float32
	}{
		// Row i predicts token i+1: of 5 6 | 7 8 9, rows 1 to 3 predict the response.
		{[]int32{5, 6}, []int32{7, 8, 9}, []float32{0, 1, 1, 1}},
		{[]int32{5, 6, 7}, []int32{8}, []float32{0, 0, 1}},
		{[]int32{5}, []int32{6, 7}, []float32{1, 1}},
		{nil, []int32{5, 6, 7}, []float32{1, 1}}, // nothing predicts the first token
	} {
		q := Response(c.prompt, c.response)
		if want := slices.Concat(c.prompt, c.response); !slices.Equal(q.IDs, want) || !slices.Equal(q.Weight, c.want) {
			t.Errorf("Response(%v, %v) = %v, want tokens %v, weights %v", c.prompt, c.response, q, want, c.want)
		}
	}
}

func TestCollectReportsWhatIsAmiss(t *testing.T) {
	r := rejection(t, verdict)
	good := r.Sampler.(*rollout.Generator)
	for want, broken := range map[string]*Rejection{
		"Rejection.N is -1":            {Sampler: r.Sampler, Reward: r.Reward, N: -1},
		"Rejection.MaxPerPrompt is -2": {Sampler: r.Sampler, Reward: r.Reward, MaxPerPrompt: -2},
		"Rejection.Reward is nil":      {Sampler: r.Sampler},
		"Suite.Funcs is empty":         {Sampler: r.Sampler, Reward: &reward.Suite{}},
		"Rejection.Sampler is nil":     {Reward: r.Reward},
		"Generator.Generator is nil":   {Reward: r.Reward, Sampler: &rollout.Generator{}},
		"Generator.Sampling.Temperature is NaN": {Reward: r.Reward, Sampler: &rollout.Generator{
			Generator: good.Generator, Decode: good.Decode, MaxTokens: 1, Sampling: model.Sampling{Temperature: math.NaN()},
		}},
		"Generator.MaxTokens is 0": {Reward: r.Reward, Sampler: &rollout.Generator{
			Generator: good.Generator, Decode: good.Decode,
		}},
	} {
		broken.Progress = func(int, int) { t.Errorf("%s: found after sampling", want) }
		if _, err := broken.Collect(t.Context(), prompts(2)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	r.Progress = func(int, int) { t.Error("a prompt that does not fit was found after sampling") }
	long := prompts(chunk + 1)
	long[chunk] = rollout.Prompt{IDs: make([]int32, 1000), Text: "too long"}
	_, err := r.Collect(t.Context(), long)
	if err == nil || !strings.Contains(err.Error(), `prompt 256 ("too long") has 1000 tokens`) {
		t.Errorf("error %v, want it to name the prompt", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Collect(ctx, prompts(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
