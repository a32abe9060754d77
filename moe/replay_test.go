package moe_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// measured is a tensor of the reference implementation and its gradient.
type measured struct{ Value, Grad []float64 }

// A layer with given experts equals transformers' DeepseekV3MoE in which a bias forces the
// same experts, including the gradient of the router; see testdata/replay.py. The router of
// the reference works in float32.
func TestLayerAtGivenExpertsEqualsTransformers(t *testing.T) {
	text, err := os.ReadFile("testdata/replay.json")
	must(t, err)
	var want struct {
		X          measured
		Given, Own []int32
		Y, R       []float64
		Params     map[string]measured
	}
	must(t, json.Unmarshal(text, &want))
	const tokens, hidden, tolerance = 7, 6, 1e-6
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{DType: backend.F64})
	defer ps.Free()
	m := moe.New(ps, "mlp", moe.Config{Hidden: hidden, Intermediate: 5, Experts: 8, TopK: 3, Shared: 1, Normalize: true,
		Scale: 2.5, Bias: true})
	x := ps.FullPrecision("x", tokens, hidden)
	must(t, ps.Err())
	want.Params["x"] = want.X
	for _, p := range ps.All() {
		if p != m.Gate.Bias {
			must(t, p.SetFloats(want.Params[p.Name].Value))
		}
	}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	choice := moe.Choice{Given: s.Ints(want.Given, tokens, 3), Chosen: s.Empty(backend.I32, tokens, 3).Keep()}
	m.Gate.Choose(&choice)
	y := m.Forward(x.In(s)).Y.Keep()
	m.Gate.Choose(nil)
	must(t, s.Backward(tensor.Sum(tensor.Mul(y, s.Floats(backend.F64, want.R, tokens, hidden)))))
	closeTo(t, "y", values(t, y), want.Y, tolerance)
	compared := 0
	for _, p := range ps.All() {
		if p == m.Gate.Bias {
			continue
		}
		g, err := p.Grad()
		must(t, err)
		got, err := backend.Values(b, g)
		must(t, err)
		closeTo(t, "gradient of "+p.Name, got, want.Params[p.Name].Grad, tolerance)
		compared++
	}
	if compared != len(want.Params) || choice.Forwards() != 1 {
		t.Errorf("%d gradients compared, want %d; %d forwards", compared, len(want.Params), choice.Forwards())
	}
	own := make([]int32, len(want.Own))
	must(t, tensor.Download(own, choice.Chosen))
	if !slices.Equal(own, want.Own) {
		t.Errorf("the gate would choose %v, want %v", own, want.Own)
	}
}
