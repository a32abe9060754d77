package model_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// randomRequests returns requests of various prompt lengths, limits and sampling settings.
func randomRequests(seed uint64, n int) []model.Request {
	rng := rand.New(rand.NewPCG(seed, 1))
	ways := []model.Sampling{{Greedy: true}, {}, {Temperature: 0.7, TopK: 5}, {Temperature: 1.3, TopP: 0.8},
		{Temperature: 1, TopK: 9, TopP: 0.9}}
	var reqs []model.Request
	for i := range n {
		reqs = append(reqs, model.Request{
			Prompt: randomTokens(rng, 1+rng.IntN(12)), MaxTokens: 1 + rng.IntN(24), Sampling: ways[i%len(ways)],
			Seed: uint64(i) << 29, Stop: []int32{7},
		})
	}
	return reqs
}

func newGenerator(t testing.TB, m *model.Model, o model.GeneratorOptions) *model.Generator {
	t.Helper()
	g, err := model.NewGenerator(m, o)
	must(t, err)
	t.Cleanup(g.Close)
	return g
}

func complete(t testing.TB, m *model.Model, o model.GeneratorOptions, reqs []model.Request) []model.Completion {
	t.Helper()
	g, err := model.NewGenerator(m, o)
	must(t, err)
	defer g.Close()
	out, err := g.Generate(context.Background(), reqs)
	must(t, err)
	return out
}

func same(a, b model.Completion) bool {
	return slices.Equal(a.Tokens, b.Tokens) && slices.Equal(a.LogProbs, b.LogProbs) && a.Finish == b.Finish
}

// A completion has the same bits whatever other requests are in the batch.
func TestCompletionsDoNotDependOnTheBatch(t *testing.T) {
	b := open(t)
	const seed = 41
	t.Log("seed", seed)
	reqs := randomRequests(seed, 20)
	for _, o := range []model.Options{{}, {Absorbed: true}, {DType: backend.F64}} {
		m, _ := newSmall(t, b, o)
		want := complete(t, m, model.GeneratorOptions{Slots: 3}, reqs)
		for _, g := range []model.GeneratorOptions{{Slots: 1}, {Slots: 16}, {}, {Slots: 5, PrefillRows: 1}, {Slots: 5,
			PrefillRows: 13, MaxLen: 36}} {
			for i, c := range complete(t, m, g, reqs) {
				if !same(c, want[i]) {
					t.Fatalf("%+v %+v: request %d: %v, want %v", o, g, i, c, want[i])
				}
			}
		}
		reversed := slices.Clone(reqs)
		slices.Reverse(reversed)
		for i, c := range complete(t, m, model.GeneratorOptions{Slots: 4}, reversed) {
			if j := len(reqs) - 1 - i; !same(c, want[j]) {
				t.Fatalf("%+v: request %d in reversed order: %v, want %v", o, j, c, want[j])
			}
		}
	}
}

// readRows counts the tokens that prefill reads: the rows of embedding lookups with more
// rows than there are slots.
type readRows struct {
	backend.Decorator
	slots, rows int
}

func (c *readRows) Do(op backend.Op) error {
	if g, ok := op.(*backend.Gather); ok && g.Y.Shape[0] > c.slots {
		c.rows += g.Y.Shape[0]
	}
	return c.Backend.Do(op)
}

// Requests that share a prompt get the same bits as alone, and the prompt is prefilled once
// per group.
func TestGroupsShareTheReadingOfTheirPrompt(t *testing.T) {
	b := open(t)
	const seed = 45
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var reqs []model.Request
	const groups, size, tokens = 5, 7, 11
	for range groups {
		prompt := randomTokens(rng, tokens)
		for range size {
			reqs = append(reqs, model.Request{Prompt: prompt, MaxTokens: 1 + rng.IntN(20),
				Sampling: model.Sampling{Temperature: 1}, Seed: rng.Uint64(), Stop: []int32{7}})
		}
	}
	one := randomTokens(rng, 1) // a prompt of one token has no keys to share
	reqs = append(reqs, model.Request{Prompt: one, MaxTokens: 5, Seed: 1}, model.Request{Prompt: one, MaxTokens: 5,
		Sampling: model.Sampling{Temperature: 1}, Seed: 2})
	for _, o := range []model.Options{{}, {Absorbed: true}} {
		c := &readRows{Decorator: backend.Decorator{Backend: b}, slots: 10}
		m, _ := newSmall(t, c, o)
		want := make([]model.Completion, len(reqs))
		alone := newGenerator(t, m, model.GeneratorOptions{Slots: 1})
		for i := range reqs {
			out, err := alone.Generate(context.Background(), reqs[i:i+1])
			must(t, err)
			want[i] = out[0]
		}
		for _, slots := range []int{1, 2, 4, c.slots} {
			c.rows = 0
			for i, got := range complete(t, m, model.GeneratorOptions{Slots: slots}, reqs) {
				if !same(got, want[i]) {
					t.Fatalf("%+v, %d slots: request %d: %v, want %v", o, slots, i, got, want[i])
				}
			}
			if c.rows != groups*tokens {
				t.Errorf("%+v, %d slots: %d prompt tokens were read, want %d", o, slots, c.rows, groups*tokens)
			}
		}
	}
}

// Completions have the same bits whatever keys are cached from calls before.
func TestReusedKeysChangeNoCompletion(t *testing.T) {
	b := open(t)
	const seed = 46
	t.Log("seed", seed)
	for _, o := range []model.Options{{}, {Absorbed: true}} {
		rng := rand.New(rand.NewPCG(seed, 1))
		m, _ := newSmall(t, b, o)
		size := model.GeneratorOptions{Slots: 2, MaxLen: 64, Reuse: true}
		g := newGenerator(t, m, size)
		size.Reuse = false
		request := func(prompt []int32) model.Request {
			return model.Request{Prompt: prompt, MaxTokens: 1 + rng.IntN(5), Seed: rng.Uint64(), Stop: []int32{7},
				Sampling: model.Sampling{Temperature: 1}}
		}
		// Two chats alternate; each prompt is the chat so far and a new message.
		chats := [][]int32{randomTokens(rng, 6), randomTokens(rng, 9)}
		has := []int{0, 0} // number of cached tokens of each chat
		for range 5 {
			for i, prompt := range chats {
				r := request(prompt)
				got, err := g.Generate(t.Context(), []model.Request{r})
				must(t, err)
				if want := complete(t, m, size, []model.Request{r}); !same(got[0], want[0]) || got[0].Reused != has[i] {
					t.Fatalf("chat %d: %v, want %v, %d reused", i, got[0], want[0], has[i])
				}
				prompt = append(slices.Clone(prompt), got[0].Tokens...)
				has[i] = len(prompt) - 1 // the last token was drawn but not read
				chats[i] = append(prompt, randomTokens(rng, 3)...)
			}
		}
		// The same prompt again, a prompt with another end, a call that is cancelled,
		// groups, and more groups than slots.
		prompt := chats[0]
		other := append(slices.Clone(prompt[:8]), randomTokens(rng, 6)...)
		for _, prompts := range [][][]int32{{prompt}, {prompt}, {other}, nil, {prompt, prompt, prompt, other, other}, {other},
			{prompt[:1]}, {chats[1], prompt, other[:9], prompt}} {
			var reqs []model.Request
			for _, p := range prompts {
				reqs = append(reqs, request(p))
			}
			if reqs == nil {
				r := request(prompt)
				r.MaxTokens, r.Stop = 20, []int32{}
				ctx, cancel := context.WithCancel(t.Context())
				r.OnToken = func(int32) { cancel() }
				if _, err := g.Generate(ctx, []model.Request{r}); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				continue
			}
			got, err := g.Generate(t.Context(), reqs)
			must(t, err)
			for i, want := range complete(t, m, size, reqs) {
				if !same(got[i], want) {
					t.Fatalf("%d prompts: %d is %v, want %v", len(prompts), i, got[i], want)
				}
			}
		}
	}
}

func TestTokensAreReportedAsTheyAreDrawn(t *testing.T) {
	m, _ := newSmall(t, open(t), model.Options{})
	const seed = 43
	t.Log("seed", seed)
	reqs := randomRequests(seed, 6)
	reqs = append(reqs, reqs[5], reqs[5]) // these share the prefill of their prompt
	got := make([][]int32, len(reqs))
	last := -1 // index of the request of the last call
	changes := 0
	for i := range reqs {
		reqs[i].OnToken = func(id int32) {
			got[i] = append(got[i], id)
			if i != last {
				changes, last = changes+1, i
			}
		}
	}
	for i, c := range complete(t, m, model.GeneratorOptions{Slots: 4}, reqs) {
		if !slices.Equal(got[i], c.Tokens) {
			t.Errorf("request %d: %v reported of %v", i, got[i], c.Tokens)
		}
	}
	if changes < 2*len(reqs) {
		t.Errorf("the calls changed %d times from one request to another, want them interleaved", changes)
	}
	clear(got)
	_, err := model.GeneratorMemory(m.Backend(), m.Config, m.Options, model.GeneratorOptions{Slots: 4}, reqs)
	must(t, err)
	for i := range got {
		if got[i] != nil {
			t.Errorf("request %d: GeneratorMemory reported %v", i, got[i])
		}
	}
}

func TestDecodingAllocatesNothingPerToken(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	const slots, tokens = 4, 16
	g := newGenerator(t, m, model.GeneratorOptions{Slots: slots})
	count := func(n int) float64 {
		reqs := make([]model.Request, slots)
		for i := range reqs {
			reqs[i] = model.Request{Prompt: []int32{1, int32(2 + i)}, MaxTokens: n, Sampling: model.Sampling{Temperature: 1},
				Seed: uint64(i), Stop: []int32{-1}}
		}
		return testing.AllocsPerRun(5, func() {
			if _, err := g.Generate(context.Background(), reqs); err != nil {
				t.Fatal(err)
			}
		})
	}
	once, twice := count(tokens), count(2*tokens)
	if growth := 2.0 * slots; twice-once > growth {
		t.Errorf("%g allocations for %d tokens a sequence, %g for %d; want at most %g more", once, tokens, twice,
			2*tokens, growth)
	}
}

// A generator that has served other requests gives the same bits as a new one.
func TestGeneratorIsReusable(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	g := newGenerator(t, m, model.GeneratorOptions{Slots: 4})
	reqs := randomRequests(42, 9)
	first, err := g.Generate(context.Background(), reqs)
	must(t, err)
	_, err = g.Generate(context.Background(), randomRequests(43, 6))
	must(t, err)
	again, err := g.Generate(context.Background(), reqs)
	must(t, err)
	for i := range first {
		if !same(first[i], again[i]) {
			t.Fatalf("request %d: %v, then %v", i, first[i], again[i])
		}
	}
	none, err := g.Generate(context.Background(), nil)
	if err != nil || len(none) != 0 {
		t.Errorf("no requests: %v, %v", none, err)
	}
}

// If weights change between calls, as in reinforcement learning, the next call uses the new
// ones, in prefill and in recorded decode steps.
func TestGeneratorFollowsTheWeights(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	other, err := model.New(b, small(), 99)
	must(t, err)
	defer other.Free()
	reqs := randomRequests(44, 9)
	g := newGenerator(t, m, model.GeneratorOptions{Slots: 4})
	before, err := g.Generate(context.Background(), reqs)
	must(t, err)
	want := complete(t, other, model.GeneratorOptions{Slots: 4}, reqs)
	for _, p := range other.Params.All() { // m also has the parameters of MTP
		v, err := p.Floats()
		must(t, err)
		must(t, m.Params.Get(p.Name).SetFloats(v))
	}
	after, err := g.Generate(context.Background(), reqs)
	must(t, err)
	changed := false
	for i := range after {
		if !same(after[i], want[i]) {
			t.Fatalf("request %d: %v, want %v", i, after[i], want[i])
		}
		changed = changed || !same(after[i], before[i])
	}
	if !changed {
		t.Error("the two models give the same completions")
	}
}

// distributions returns the log-probabilities [V] of the next token after every prefix
// prompt+tokens[:i], computed by the packed forward.
func distributions(t testing.TB, m *model.Model, prompt, tokens []int32, temperature float64) [][]float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	q := []model.Sequence{{IDs: slices.Concat(prompt, tokens)}}
	logits, err := tensor.Logits(m.Forward(s, m.NewBatch(s, q, model.Totals(q))).Hidden, m.Head).Values()
	must(t, err)
	var rows [][]float64
	for z := range slices.Chunk(logits, m.Config.VocabSize) {
		rows = append(rows, logSoftmax(z, temperature))
	}
	return rows[len(prompt)-1:]
}

func logSoftmax(z []float64, temperature float64) []float64 {
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(v / temperature)
	}
	p := make([]float64, len(z))
	for i, v := range z {
		p[i] = v/temperature - math.Log(sum)
	}
	return p
}

// kept returns the renormalised distribution after top-k and then top-p of p.
func kept(p []float64, topK int, topP float64) map[int32]float64 {
	ids := make([]int32, len(p))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		if p[a] > p[b] {
			return -1
		}
		return 1
	})
	if topK > 0 {
		ids = ids[:topK]
	}
	total := 0.0
	for _, id := range ids {
		total += math.Exp(p[id])
	}
	mass := 0.0
	for n, id := range ids {
		if mass += math.Exp(p[id]) / total; topP > 0 && mass >= topP {
			ids = ids[:n+1]
			total *= mass
			break
		}
	}
	out := map[int32]float64{}
	for _, id := range ids {
		out[id] = p[id] - math.Log(total)
	}
	return out
}

// Every drawn token is in the set that its filter keeps, and its log-probability is that of
// the renormalised distribution.
func TestSamplingFilters(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{DType: backend.F64})
	for _, c := range []struct {
		name string
		s    model.Sampling
	}{
		{"temperature", model.Sampling{Temperature: 0.6}},
		{"top-k", model.Sampling{Temperature: 1.5, TopK: 3}},
		{"top-k of more than all", model.Sampling{Temperature: 1, TopK: 1000}},
		{"top-p", model.Sampling{Temperature: 1.5, TopP: 0.5}},
		{"top-p of all", model.Sampling{Temperature: 1, TopP: 1}},
		{"both", model.Sampling{Temperature: 2, TopK: 6, TopP: 0.7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var reqs []model.Request
			rng := rand.New(rand.NewPCG(45, 0))
			for i := range 12 {
				reqs = append(reqs, model.Request{Prompt: randomTokens(rng, 1+i%4), MaxTokens: 20, Sampling: c.s,
					Seed: uint64(i), Stop: []int32{}})
			}
			seen := map[int32]bool{}
			for i, out := range complete(t, m, model.GeneratorOptions{Slots: 12}, reqs) {
				for j, p := range distributions(t, m, reqs[i].Prompt, out.Tokens, c.s.Temperature) {
					left := kept(p, min(c.s.TopK, len(p)), c.s.TopP)
					want, ok := left[out.Tokens[j]]
					if !ok {
						t.Fatalf("request %d token %d: %d is not among %v", i, j, out.Tokens[j], left)
					}
					if math.Abs(out.LogProbs[j]-want) > 1e-12 {
						t.Fatalf("request %d token %d: log-probability %v, want %v", i, j, out.LogProbs[j], want)
					}
					seen[out.Tokens[j]] = true
				}
			}
			if len(seen) < 5 {
				t.Errorf("only the tokens %v were drawn", seen)
			}
		})
	}
}

// A TopK above the size of the vocabulary keeps all tokens, even if it exceeds 32 bits.
func TestTopKBeyondTheVocabularyKeepsAll(t *testing.T) {
	m, _ := newSmall(t, open(t), model.Options{DType: backend.F64})
	request := model.Request{Prompt: []int32{3, 1}, MaxTokens: 12, Stop: []int32{}, Seed: 1}
	want := complete(t, m, model.GeneratorOptions{}, []model.Request{request})[0]
	for _, k := range []int{m.Config.VocabSize, 1 << 31, 1<<32 + 1, math.MaxInt} {
		request.Sampling.TopK = k
		if got := complete(t, m, model.GeneratorOptions{}, []model.Request{request})[0]; !same(got, want) {
			t.Errorf("TopK %d: %v, want %v", k, got, want)
		}
	}
}

// Greedy takes the argmax, with its log-probability at temperature 1. Filters that keep one
// token take it too, with log-probability 0.
func TestGreedyAndItsEquivalents(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{DType: backend.F64})
	prompt := []int32{4, 11, 2}
	ask := func(s model.Sampling) model.Completion {
		return complete(t, m, model.GeneratorOptions{Slots: 1}, []model.Request{{Prompt: prompt, MaxTokens: 30,
			Sampling: s, Stop: []int32{}}})[0]
	}
	greedy := ask(model.Sampling{Greedy: true})
	for j, p := range distributions(t, m, prompt, greedy.Tokens, 1) {
		best := slices.Max(p)
		if p[greedy.Tokens[j]] != best || math.Abs(greedy.LogProbs[j]-best) > 1e-12 {
			t.Fatalf("token %d: %d with %v, the best has %v", j, greedy.Tokens[j], greedy.LogProbs[j], best)
		}
	}
	for name, s := range map[string]model.Sampling{"top-k 1": {Temperature: 2, TopK: 1}, "tiny top-p": {Temperature: 1,
		TopP: 1e-9}} {
		got := ask(s)
		if !slices.Equal(got.Tokens, greedy.Tokens) {
			t.Errorf("%s: %v, want %v", name, got.Tokens, greedy.Tokens)
		}
		if slices.ContainsFunc(got.LogProbs, func(v float64) bool { return v != 0 }) {
			t.Errorf("%s: log-probabilities %v, want 0", name, got.LogProbs)
		}
	}
}

// The first tokens of many requests that differ only in their seed follow the distribution:
// Pearson's statistic with 19 degrees of freedom exceeds 43.8 with probability 0.001.
func TestDrawsFollowTheDistribution(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	const n = 4000
	reqs := make([]model.Request, n)
	for i := range reqs {
		reqs[i] = model.Request{Prompt: []int32{3, 8}, MaxTokens: 1, Sampling: model.Sampling{Temperature: 2},
			Seed: uint64(i)}
	}
	count := make([]float64, m.Config.VocabSize)
	for _, c := range complete(t, m, model.GeneratorOptions{Slots: 500}, reqs) {
		count[c.Tokens[0]]++
	}
	p := distributions(t, m, reqs[0].Prompt, []int32{0}, 2)[0]
	chi := 0.0
	for v, c := range count {
		expected := n * math.Exp(p[v])
		if expected < 5 {
			t.Fatalf("token %d is expected %.1f times, which is too rare for the statistic", v, expected)
		}
		chi += (c - expected) * (c - expected) / expected
	}
	if chi > 43.8 {
		t.Errorf("Pearson's statistic is %.1f", chi)
	}
}

func TestSeedsKeyTheDraws(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	req := model.Request{Prompt: []int32{5}, MaxTokens: 40, Sampling: model.Sampling{Temperature: 1.5}, Stop: []int32{}}
	var reqs []model.Request
	for _, seed := range []uint64{1, 2, 1 << 32, 1<<32 + 1, 1} {
		req.Seed = seed
		reqs = append(reqs, req)
	}
	out := complete(t, m, model.GeneratorOptions{Slots: 3}, reqs)
	if !same(out[0], out[4]) {
		t.Error("equal seeds, other completions")
	}
	for i := range 4 {
		for j := range i {
			if slices.Equal(out[i].Tokens, out[j].Tokens) {
				t.Errorf("seeds %d and %d: equal completions", reqs[i].Seed, reqs[j].Seed)
			}
		}
	}
}

// A completion ends with the first stop token, which it includes, or at its limit.
func TestStopTokens(t *testing.T) {
	b := open(t)
	cfg := small()
	cfg.EOSTokenID = model.TokenIDs{4, 17}
	m, err := model.New(b, cfg, 11)
	must(t, err)
	defer m.Free()
	ask := func(stop []int32, limit int) model.Completion {
		return complete(t, m, model.GeneratorOptions{Slots: 2}, []model.Request{
			{Prompt: []int32{5, 1}, MaxTokens: limit, Sampling: model.Sampling{Temperature: 2}, Seed: 3, Stop: stop},
		})[0]
	}
	const limit = 200
	free := ask([]int32{}, limit)
	if len(free.Tokens) != limit || free.Finish != model.Truncated {
		t.Fatalf("without stop tokens: %d tokens, finish %v", len(free.Tokens), free.Finish)
	}
	for _, c := range []struct {
		name  string
		stop  []int32
		stops []int32 // tokens that end the completion
	}{
		{"one", []int32{9}, []int32{9}},
		{"several", []int32{2, 13}, []int32{2, 13}},
		{"the config's", nil, []int32{4, 17}},
	} {
		end := slices.IndexFunc(free.Tokens, func(id int32) bool { return slices.Contains(c.stops, id) }) + 1
		if end < 2 {
			t.Fatalf("%s: the completion without stop tokens %v is no usable example", c.name, free.Tokens)
		}
		got := ask(c.stop, limit)
		if !slices.Equal(got.Tokens, free.Tokens[:end]) || got.Finish != model.Stopped {
			t.Errorf("%s: %v, finish %v, want %v", c.name, got.Tokens, got.Finish, free.Tokens[:end])
		}
		if got = ask(c.stop, end); got.Finish != model.Stopped {
			t.Errorf("%s: a stop token at the limit: finish %v, want Stopped", c.name, got.Finish)
		}
		if got = ask(c.stop, end-1); got.Finish != model.Truncated || len(got.Tokens) != end-1 {
			t.Errorf("%s: a limit before the stop token: %d tokens, finish %v", c.name, len(got.Tokens), got.Finish)
		}
	}
}

// countdown is a context that is cancelled after n calls of Err.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancellationEndsGeneration(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	g := newGenerator(t, m, model.GeneratorOptions{Slots: 2})
	reqs := randomRequests(46, 8)
	want, err := g.Generate(context.Background(), reqs)
	must(t, err)
	for n := range 12 {
		out, err := g.Generate(&countdown{context.Background(), n}, reqs)
		if !errors.Is(err, context.Canceled) || out != nil {
			t.Fatalf("cancelled after %d steps: %v, %v", n, out, err)
		}
	}
	again, err := g.Generate(context.Background(), reqs)
	must(t, err)
	for i := range want {
		if !same(again[i], want[i]) {
			t.Fatalf("request %d after cancelled ones: %v, want %v", i, again[i], want[i])
		}
	}
}

func TestBadRequestsAreNamed(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	g := newGenerator(t, m, model.GeneratorOptions{Slots: 2, MaxLen: 10})
	good := model.Request{Prompt: []int32{1, 2}, MaxTokens: 8}
	if _, err := g.Generate(context.Background(), []model.Request{good}); err != nil {
		t.Errorf("a request that fills the generator exactly: %v", err)
	}
	for _, c := range []struct {
		want string
		bad  func(*model.Request)
	}{
		{"the prompt is empty", func(r *model.Request) { r.Prompt = nil }},
		{"MaxTokens is 0", func(r *model.Request) { r.MaxTokens = 0 }},
		{"MaxLen 10", func(r *model.Request) { r.MaxTokens = 9 }},
		{"MaxLen 10", func(r *model.Request) { r.MaxTokens = math.MaxInt }},
		{"MaxLen 10", func(r *model.Request) { r.Prompt = make([]int32, 11) }},
		{"prompt token 1 is 20", func(r *model.Request) { r.Prompt = []int32{0, 20} }},
		{"prompt token 0 is -1", func(r *model.Request) { r.Prompt = []int32{-1} }},
		{"Sampling.Temperature is", func(r *model.Request) { r.Sampling.Temperature = -1 }},
		{"Sampling.Temperature is", func(r *model.Request) { r.Sampling.Temperature = math.NaN() }},
		{"Sampling.Temperature is", func(r *model.Request) { r.Sampling.Temperature = math.Inf(1) }},
		{"Sampling.Temperature is", func(r *model.Request) { r.Sampling.Temperature = 1e-40 }},
		{"Sampling.TopK is", func(r *model.Request) { r.Sampling.TopK = -1 }},
		{"Sampling.TopP is", func(r *model.Request) { r.Sampling.TopP = 1.5 }},
		{"Sampling.TopP is", func(r *model.Request) { r.Sampling.TopP = math.NaN() }},
	} {
		bad := good
		bad.Prompt = slices.Clone(good.Prompt)
		c.bad(&bad)
		_, err := g.Generate(context.Background(), []model.Request{good, good, bad})
		if err == nil || !strings.Contains(err.Error(), "request 2: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that names request 2 and has %q", err, c.want)
		}
	}
}

func TestClosedGeneratorIsAnError(t *testing.T) {
	m, _ := newSmall(t, open(t), model.Options{})
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1})
	must(t, err)
	g.Close()
	_, err = g.Generate(t.Context(), []model.Request{{Prompt: []int32{1}, MaxTokens: 1}})
	if err == nil || !strings.Contains(err.Error(), "the generator is closed") {
		t.Errorf("got %v", err)
	}
}

func TestImpossibleGeneratorsAreErrors(t *testing.T) {
	b := open(t)
	m, _ := newSmall(t, b, model.Options{})
	for _, o := range []model.GeneratorOptions{{Slots: -1}, {MaxLen: -1}, {MaxLen: m.Config.MaxPositionEmbeddings + 1},
		{PrefillRows: -1}} {
		if g, err := model.NewGenerator(m, o); err == nil {
			g.Close()
			t.Errorf("%+v: no error", o)
		}
	}
}
