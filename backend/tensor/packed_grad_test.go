package tensor_test

import (
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Gradients pass through packed parameters as through master values that are equal to
// them: in the packed format if it trains, else in F32.
func TestGradientsPassThroughPackedParameters(t *testing.T) {
	for _, f := range backend.Formats() {
		if f == backend.Native {
			continue
		}
		trains := f
		if f.ForwardOnly {
			trains = backend.Native
		}
		b := open(t)
		packed := tensor.NewParams(b, tensor.Init{Seed: 3, Std: 1, Format: f, Packed: true})
		masters := tensor.NewParams(b, tensor.Init{Format: trains})
		defer packed.Free()
		defer masters.Free()
		for _, ps := range []*tensor.Params{packed, masters} {
			for _, p := range []*tensor.Param{ps.Matrix("w", 20, 64), ps.Stack("e.*", 2, 20, 64)} {
				p.Trainable = false
			}
			ps.Adapter("a", 3, 64)
			if err := ps.Err(); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range masters.All() {
			values := ramp(p.Len(), 0.25)
			if p.Kind != tensor.KindAdapter {
				values = floats(t, packed.Get(p.Name))
			}
			if err := p.SetFloats(values); err != nil {
				t.Fatal(err)
			}
		}
		if err := packed.Get("a").SetFloats(ramp(3*64, 0.25)); err != nil {
			t.Fatal(err)
		}
		for name, forward := range map[string]func(ps *tensor.Params, s *tensor.Scope) tensor.Tensor{
			"Linear": func(ps *tensor.Params, s *tensor.Scope) tensor.Tensor {
				return (&tensor.Linear{W: ps.Get("w")}).Forward(ps.Get("a").In(s))
			},
			"GroupedLinear": func(ps *tensor.Params, s *tensor.Scope) tensor.Tensor {
				return tensor.GroupedLinear(ps.Get("a").In(s), ps.Get("e.*"), s.Ints([]int32{0, 1, 3}, 3))
			},
		} {
			grad := func(ps *tensor.Params) []float64 {
				s := tensor.NewScope(b, tensor.Options{Grad: true})
				defer s.Close()
				if err := ps.ZeroGrad(); err != nil {
					t.Fatal(err)
				}
				weights := s.Floats(backend.F32, ramp(3*20, 0.5), 3, 20)
				if err := s.Backward(tensor.Sum(tensor.Mul(forward(ps, s), weights))); err != nil {
					t.Fatal(err)
				}
				g, err := ps.Get("a").Grad()
				if err != nil {
					t.Fatal(err)
				}
				v, err := s.Constant(g).Values()
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			got, want := grad(packed), grad(masters)
			if !slices.Equal(got, want) || slices.Max(want) == 0 {
				t.Errorf("%s of %s: gradient %v, want that through masters, %v", name, f, got[:4], want[:4])
			}
		}
		if w := packed.Get("w"); w.HasGrad() {
			t.Errorf("%s: the packed matrix has a gradient", f)
		}
	}
}
