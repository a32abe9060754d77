package moe_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

func open(t testing.TB) backend.Backend {
	t.Helper()
	b, err := backend.Open("cpu")
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func values(t testing.TB, x tensor.Tensor) []float64 {
	t.Helper()
	v, err := x.Values()
	must(t, err)
	return v
}

func floats(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	v, err := p.Floats()
	must(t, err)
	return v
}

func normals(rng *rand.Rand, spread float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = spread * rng.NormFloat64()
	}
	return x
}

// newMoE returns a layer with widely spread weights. Its selection bias, if it has one, is
// large enough to change selections.
func newMoE(t testing.TB, b backend.Backend, dt backend.DType, cfg moe.Config) *moe.MoE {
	t.Helper()
	ps := tensor.NewParams(b, tensor.Init{Seed: 5, Std: 0.4, DType: dt})
	t.Cleanup(ps.Free)
	m := moe.New(ps, "mlp", cfg)
	must(t, ps.Err())
	if m.Gate.Bias != nil {
		must(t, m.Gate.Bias.SetFloats(normals(rand.New(rand.NewPCG(8, 0)), 0.5, cfg.Experts)))
	}
	return m
}

// variants are the gate configurations of the published models and some between them.
var variants = map[string]moe.Config{
	"V3":                       {Groups: 4, TopGroups: 2, Normalize: true, Scale: 2.5, Bias: true},
	"V3 without groups":        {Normalize: true, Scale: 2.446, Bias: true},
	"V3 without normalisation": {Groups: 2, TopGroups: 1, Scale: 1.5, Bias: true},
	"V2": {Groups: 4, TopGroups: 3, Scoring: backend.ScoreSoftmax, GroupBy: backend.GroupMax,
		Scale: 16},
	"V2-Lite":              {Scoring: backend.ScoreSoftmax},
	"softmax, normalised":  {Scoring: backend.ScoreSoftmax, Normalize: true},
	"sigmoid without bias": {Groups: 8, TopGroups: 2, Normalize: true},
}

func variant(name string) moe.Config {
	cfg := variants[name]
	cfg.Hidden, cfg.Intermediate, cfg.Experts, cfg.TopK, cfg.Shared = 12, 7, 16, 4, 2
	return cfg
}

// assignment is an expert of a token and its weight.
type assignment struct {
	expert int
	weight float64
}

// referenceGate routes one token by sorting the scores: DeepSeek-V3 eq. 12–16 for sigmoid,
// DeepSeek-V2 §2.2 for softmax.
func referenceGate(cfg moe.Config, w, bias, x []float64) (chosen []assignment, scores []float64) {
	scores = matVec(w, x)
	sum, most := 0.0, slices.Max(scores)
	for i, z := range scores {
		if cfg.Scoring == backend.ScoreSigmoid {
			scores[i] = 1 / (1 + math.Exp(-z))
		} else {
			scores[i] = math.Exp(z - most)
			sum += scores[i]
		}
	}
	type candidate struct {
		id   int
		rank float64
	}
	best := func(c []candidate) {
		slices.SortStableFunc(c, func(a, b candidate) int {
			switch {
			case a.rank > b.rank:
				return -1
			case a.rank < b.rank:
				return 1
			}
			return a.id - b.id
		})
	}
	experts := make([]candidate, cfg.Experts)
	for i := range experts {
		if cfg.Scoring == backend.ScoreSoftmax {
			scores[i] /= sum
		}
		experts[i] = candidate{i, scores[i]}
		if bias != nil {
			experts[i].rank += bias[i]
		}
	}
	groups, topGroups := max(cfg.Groups, 1), cfg.TopGroups
	if topGroups == 0 {
		topGroups = groups
	}
	size := cfg.Experts / groups
	ranked := make([]candidate, groups)
	for g := range ranked {
		members := slices.Clone(experts[g*size : (g+1)*size])
		best(members)
		ranked[g] = candidate{g, members[0].rank}
		if cfg.GroupBy == backend.GroupTop2Sum && size > 1 {
			ranked[g].rank += members[1].rank
		}
	}
	best(ranked)
	var kept []candidate
	for _, g := range ranked[:topGroups] {
		kept = append(kept, experts[g.id*size:(g.id+1)*size]...)
	}
	best(kept)
	total := 0.0
	for _, e := range kept[:cfg.TopK] {
		chosen = append(chosen, assignment{e.id, scores[e.id]})
		total += scores[e.id]
	}
	slices.SortFunc(chosen, func(a, b assignment) int { return a.expert - b.expert })
	for i := range chosen {
		if cfg.Normalize {
			chosen[i].weight /= total
		}
		if cfg.Scale != 0 {
			chosen[i].weight *= cfg.Scale
		}
	}
	return chosen, scores
}

// referenceMoE is DeepSeek-V3 eq. 12 for one token.
func referenceMoE(t testing.TB, m *moe.MoE, x []float64) []float64 {
	var bias []float64
	if m.Gate.Bias != nil {
		bias = floats(t, m.Gate.Bias)
	}
	chosen, _ := referenceGate(m.Config, floats(t, m.Gate.W.W), bias, x)
	y := make([]float64, len(x))
	add := func(weight float64, gate, up, down []float64) {
		g, u := matVec(gate, x), matVec(up, x)
		for i := range g {
			g[i] = g[i] / (1 + math.Exp(-g[i])) * u[i]
		}
		for i, v := range matVec(down, g) {
			y[i] += weight * v
		}
	}
	size := m.Hidden * m.Intermediate
	gate, up, down := floats(t, m.Experts.Gate), floats(t, m.Experts.Up), floats(t, m.Experts.Down)
	for _, a := range chosen {
		at := a.expert * size
		add(a.weight, gate[at:at+size], up[at:at+size], down[at:at+size])
	}
	if m.Shared != nil {
		add(1, floats(t, m.Shared.Gate.W), floats(t, m.Shared.Up.W), floats(t, m.Shared.Down.W))
	}
	return y
}

func matVec(w, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for i := range y {
		for j, v := range x {
			y[i] += w[i*len(x)+j] * v
		}
	}
	return y
}

// closeTo fails unless ‖got−want‖ ≤ tolerance·‖want‖.
func closeTo(t testing.TB, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	var diff, norm float64
	for i := range got {
		diff += (got[i] - want[i]) * (got[i] - want[i])
		norm += want[i] * want[i]
	}
	if e := math.Sqrt(diff / norm); !(e <= tolerance) {
		t.Errorf("%s: relative error %.2e > %.0e", what, e, tolerance)
	}
}
