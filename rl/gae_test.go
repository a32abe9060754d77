package rl

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// verlPPO is the content of testdata/verl_ppo.json, computed by verl.
type verlPPO struct {
	Tokens     []int     `json:"tokens"`
	Rewards    []float64 `json:"rewards"`
	Values     []float64 `json:"values"`
	Prediction []float64 `json:"prediction"`
	Cases      []struct {
		Gamma       float64            `json:"gamma"`
		Lambda      float64            `json:"lam"`
		Advantages  []float64          `json:"advantages"`
		Returns     []float64          `json:"returns"`
		Metrics     map[string]float64 `json:"metrics"`
		ValueLosses []struct {
			Clip     float64   `json:"clip"`
			Loss     float64   `json:"loss"`
			Grad     []float64 `json:"grad"`
			ClipFrac float64   `json:"clipfrac"`
		} `json:"value_losses"`
	} `json:"cases"`
}

// split splits a flat list into one list for each completion.
func (f verlPPO) split(flat []float64) [][]float64 {
	var all [][]float64
	for _, n := range f.Tokens {
		all = append(all, flat[:n:n])
		flat = flat[n:]
	}
	return all
}

// evaluateValueLoss returns the value loss and its gradient with respect to the values.
func evaluateValueLoss(t *testing.T, b backend.Backend, value, old, returns []float64, clip float64) (loss float64,
	grad []float64) {
	t.Helper()
	n := len(value)
	p, err := tensor.NewParam(b, "value", backend.F64, n)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := p.SetFloats(value); err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	floats := func(x []float64) tensor.Tensor { return s.Floats(backend.F64, x, n) }
	l := valueLoss(p.In(s), floats(old), floats(returns), floats(slices.Repeat([]float64{1 / float64(n)}, n)), clip)
	if err := s.Backward(l); err != nil {
		t.Fatal(err)
	}
	if loss, err = l.Item(); err != nil {
		t.Fatal(err)
	}
	g, err := p.Grad()
	if err != nil {
		t.Fatal(err)
	}
	if grad, err = backend.Values(b, g); err != nil {
		t.Fatal(err)
	}
	return loss, grad
}

// Advantages, returns, value losses, their gradients and the metrics agree with verl's
// functions.
func TestPPOIsVerls(t *testing.T) {
	text, err := os.ReadFile("testdata/verl_ppo.json")
	if err != nil {
		t.Fatal(err)
	}
	var f verlPPO
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	b := openCPU(t)
	rewards, values := f.split(f.Rewards), f.split(f.Values)
	for _, c := range f.Cases {
		name := fmt.Sprintf("γ %g, λ %g", c.Gamma, c.Lambda)
		r := &Rollout{Values: values, Samples: make([]rollout.Sample, len(values))}
		r.InLoss = slices.Repeat([]bool{true}, len(values))
		for i := range values {
			a, returns := GAE(rewards[i], values[i], c.Gamma, c.Lambda)
			r.Advantages.Token, r.Returns = append(r.Advantages.Token, a), append(r.Returns, returns)
		}
		whiten(r.Advantages.Token, r.InLoss)
		returns := slices.Concat(r.Returns...)
		for k, a := range slices.Concat(r.Advantages.Token...) {
			near(t, fmt.Sprintf("%s: advantage %d", name, k), a, c.Advantages[k], 1e-9)
			near(t, fmt.Sprintf("%s: return %d", name, k), returns[k], c.Returns[k], 1e-9)
		}
		m := train.Metrics{Values: map[string]float64{}}
		r.enterCritic(m, nil)
		for metric, want := range c.Metrics {
			got, ok := m.Values[metric]
			if !ok {
				t.Errorf("%s: no metric %s", name, metric)
			}
			near(t, name+": "+metric, got, want, 1e-9)
		}
		for _, v := range c.ValueLosses {
			name := fmt.Sprintf("%s, clip %g", name, v.Clip)
			loss, grad := evaluateValueLoss(t, b, f.Prediction, f.Values, returns, v.Clip)
			near(t, name+": loss", loss, v.Loss, 1e-9)
			for k, want := range v.Grad {
				near(t, fmt.Sprintf("%s: gradient %d", name, k), grad[k], want, 1e-9)
			}
			var xs []trainSample
			for i, ids := range f.Tokens {
				x := newTrainSample(rollout.Prompt{IDs: []int32{0}}, &rollout.Sample{IDs: make([]int32, ids)}, nil)
				x.values, x.returns = values[i], r.Returns[i]
				xs = append(xs, x)
			}
			var s valueStats
			s.add(xs, f.Prediction, v.Clip, float64(len(f.Prediction)))
			near(t, name+": "+MetricValueLoss, s.loss, v.Loss, 1e-9)
			near(t, name+": "+MetricValueClipped, s.clipped/s.n, v.ClipFrac, 1e-7) // verl counts in float32
		}
	}
}

// With γ = λ = 1/2: δ_2 = 4 − 2, δ_1 = 1 + 2/2 − 4, δ_0 = 0 + 4/2 − 6, and
// A_1 = −2 + 2/4, A_0 = −4 − 1.5/4. With γ = λ = 1 returns are sums of rewards.
func TestGAEByHand(t *testing.T) {
	a, r := GAE([]float64{0, 1, 4}, []float64{6, 4, 2}, 0.5, 0.5)
	if want := []float64{-4.375, -1.5, 2}; !slices.Equal(a, want) {
		t.Errorf("advantages %v, want %v", a, want)
	}
	if want := []float64{1.625, 2.5, 4}; !slices.Equal(r, want) {
		t.Errorf("returns %v, want %v", r, want)
	}
	if _, r := GAE([]float64{0, 1, 4}, []float64{6, 4, 2}, 1, 1); !slices.Equal(r, []float64{5, 5, 4}) {
		t.Errorf("returns %v, want sums of rewards", r)
	}
	if a, r := GAE(nil, nil, 1, 1); len(a)+len(r) != 0 {
		t.Errorf("of no tokens: %v, %v", a, r)
	}
}

// Whitening removes any shift of the values. A single value, or values that are all equal,
// become 0.
func TestWhitenedTokensHaveMean0AndVariance1(t *testing.T) {
	x := [][]float64{{1, 2}, {}, {6}}
	whiten(x, []bool{true, true, true})
	// The mean is 3, the squares 4 + 1 + 9 over 3 − 1.
	for i, want := range []float64{-2 / math.Sqrt(7), -1 / math.Sqrt(7), 3 / math.Sqrt(7)} {
		near(t, fmt.Sprint("token ", i), slices.Concat(x...)[i], want, 1e-8)
	}
	for _, same := range [][][]float64{{{5}}, {{2, 2}, {2}}} {
		whiten(same, []bool{true, true}[:len(same)])
		if v := slices.Concat(same...); slices.Max(v) != 0 || slices.Min(v) != 0 {
			t.Errorf("equal values became %v", v)
		}
	}
}

// A value that has moved out of the clip range towards its return has no gradient; one that
// has moved away from it has.
func TestValueLossByHand(t *testing.T) {
	b := openCPU(t)
	for _, c := range []struct {
		name               string
		value, old, ret    float64
		loss, grad, clipAt float64
	}{
		{"inside", 1.1, 1, 2, 0.405, -0.9, 0.2},              // ½·0.9²
		{"past the range, towards", 1.5, 1, 2, 0.32, 0, 0.2}, // ½·max(0.5², 0.8²)
		{"past the range, away", 0.5, 1, 2, 1.125, -1.5, 0.2},
		{"wide", 1.5, 1, 2, 0.125, -0.5, 0.6},
	} {
		loss, grad := evaluateValueLoss(t, b, []float64{c.value}, []float64{c.old}, []float64{c.ret}, c.clipAt)
		near(t, c.name+": loss", loss, c.loss, 1e-14)
		near(t, c.name+": gradient", grad[0], c.grad, 1e-14)
	}
}
