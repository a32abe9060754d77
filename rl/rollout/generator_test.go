package rollout_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// newGenerator returns a Generator with a small random model; token 3 ends a completion.
func newGenerator(t testing.TB) *rollout.Generator {
	t.Helper()
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	c := model.Tiny(16)
	c.NumHiddenLayers, c.MaxPositionEmbeddings, c.NumNextNPredictLayers = 1, 32, 0
	c.BOSTokenID, c.EOSTokenID = model.TokenIDs{0}, model.TokenIDs{3}
	m, err := model.New(b, c, 7)
	if err != nil {
		t.Fatal(err)
	}
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 3, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gen.Close()
		m.Free()
		b.Close()
	})
	return &rollout.Generator{Generator: gen, MaxTokens: 12, Decode: func(ids []int32) string { return fmt.Sprint(ids) }}
}

var prompts = []rollout.Prompt{
	{IDs: []int32{1, 2}, Text: "a"}, {IDs: []int32{4}, Text: "b", Prefill: "<think>"}, {IDs: []int32{5, 6, 7}, Text: "c"},
}

// The samples of a prompt depend bit for bit on its index, not on the other prompts of the
// call.
func TestSamplesDependOnTheirPlace(t *testing.T) {
	for _, s := range []model.Sampling{{}, {Temperature: 0.6, TopP: 0.95}, {TopK: 3}, {Greedy: true}} {
		g := newGenerator(t)
		g.Sampling = s
		sample := func(prompts []rollout.Prompt, first int) []rollout.Sample {
			out, err := g.Sample(t.Context(), prompts, rollout.Draw{Seed: 9, First: first, N: 4})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		all := sample(prompts, 0)
		if parts := append(sample(prompts[:1], 0), sample(prompts[1:], 1)...); !reflect.DeepEqual(all, parts) {
			t.Errorf("%+v: samples in parts %v, at once %v", s, parts, all)
		}
		for i, x := range all {
			if x.Prompt != i/4 || len(x.LogProbs) != len(x.IDs) {
				t.Errorf("%+v: sample %d is %+v", s, i, x)
			}
			body := x.IDs
			if x.Finish == model.Stopped {
				body = body[:len(body)-1]
			}
			if want := prompts[i/4].Prefill + fmt.Sprint(body); x.Text != want {
				t.Errorf("%+v: the text of sample %d is %q, want %q", s, i, x.Text, want)
			}
			if same := reflect.DeepEqual(x, all[i/4*4]); s.Greedy && !same {
				t.Errorf("greedy samples differ: %v, %v", x, all[i/4*4])
			}
		}
	}
}

func TestRewardableSamples(t *testing.T) {
	samples := []rollout.Sample{
		{Prompt: 2, IDs: []int32{8, 3}, Text: "x"}, {Prompt: 1, IDs: []int32{9}, Text: "<think>y", Finish: model.Truncated},
	}
	got := rollout.Rewardable(prompts, samples)
	if s := got[0]; s.Prompt != "c" || s.Completion != "x" || s.Group != 2 || s.Truncated ||
		!slices.Equal(s.IDs, []int32{8, 3}) {
		t.Errorf("sample 0: %+v", s)
	}
	if s := got[1]; s.Prompt != "b" || s.Completion != "<think>y" || s.Group != 1 || !s.Truncated ||
		!slices.Equal(s.IDs, []int32{9}) {
		t.Errorf("sample 1: %+v", s)
	}
}

func TestCheckNamesWhatIsAmiss(t *testing.T) {
	good := newGenerator(t)
	if err := good.Check(prompts); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 50)
	for want, spoil := range map[string]func(g *rollout.Generator){
		"Generator.Generator is nil":     func(g *rollout.Generator) { g.Generator = nil },
		"Generator.Decode is nil":        func(g *rollout.Generator) { g.Decode = nil },
		"Generator.MaxTokens is 0":       func(g *rollout.Generator) { g.MaxTokens = 0 },
		"Generator.Sampling.TopK is -1":  func(g *rollout.Generator) { g.Sampling.TopK = -1 },
		"Generator.Sampling.TopP is 1.5": func(g *rollout.Generator) { g.Sampling.TopP = 1.5 },
		"Generator.Stop[1] is 16":        func(g *rollout.Generator) { g.Stop = []int32{1, 16} },
	} {
		g := *good
		spoil(&g)
		refused(t, &g, prompts, want)
	}
	for want, p := range map[string]rollout.Prompt{
		`prompt 1 ("` + long[:40] + `"…) has no tokens`:                {Text: long},
		`prompt 1 ("odd"): token 1 is 16, vocab_size is 16`:            {IDs: []int32{1, 16}, Text: "odd"},
		"has 5 tokens and Generator.MaxTokens is 12: more than the 16": {IDs: make([]int32, 5)},
	} {
		refused(t, good, []rollout.Prompt{prompts[0], p}, want)
	}
	if _, err := good.Sample(context.Background(), prompts, rollout.Draw{}); err == nil ||
		!strings.Contains(err.Error(), "Draw.N is 0") {
		t.Errorf("no completions: %v", err)
	}
}

func refused(t *testing.T, g *rollout.Generator, prompts []rollout.Prompt, want string) {
	t.Helper()
	_, err := g.Sample(context.Background(), prompts, rollout.Draw{N: 1})
	for _, err := range []error{err, g.Check(prompts)} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
