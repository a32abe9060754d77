package model_test

import (
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// watched decorates a backend by one method. It counts the matrix products that read packed
// matrices and those that do not.
type watched struct {
	backend.Decorator
	packed, strided int
}

func (w *watched) Do(op backend.Op) error {
	var right *backend.Matrix
	switch o := op.(type) {
	case *backend.MatMul:
		right = &o.B
	case *backend.GroupedMatMul:
		right = &o.B
	default:
		return w.Backend.Do(op)
	}
	if right.Layout == backend.Packed {
		w.packed++
	} else {
		w.strided++
	}
	return w.Backend.Do(op)
}

// A decorated backend gives the same bits and still uses packed weights.
func TestDecoratedModelGeneratesFromPackedWeights(t *testing.T) {
	const seed = 12
	t.Log("seed", seed)
	for _, o := range []model.Options{{}, {Absorbed: true}, {Format: backend.Q8, Packed: true}} {
		rng := rand.New(rand.NewPCG(seed, 0))
		var reqs []model.Request
		for range 5 {
			reqs = append(reqs, model.Request{
				Prompt: randomTokens(rng, 1+rng.IntN(9)), MaxTokens: 8, Sampling: model.Sampling{Temperature: 1},
				Seed: rng.Uint64(),
			})
		}
		var want []model.Completion
		var plain watched
		for i := range 2 {
			w := &watched{Decorator: backend.Decorator{Backend: open(t)}}
			var b backend.Backend = w
			if i == 1 {
				b = backend.Decorator{Backend: backend.Profile(w)}
			}
			m, err := model.NewWith(b, small(), 11, o)
			must(t, err)
			got := complete(t, m, model.GeneratorOptions{Slots: 3}, reqs)
			m.Free()
			if w.packed <= w.strided {
				t.Errorf("%+v: %d products of packed weights, %d of others", o, w.packed, w.strided)
			}
			if i == 0 {
				want, plain = got, *w
				continue
			}
			if w.packed != plain.packed || w.strided != plain.strided {
				t.Errorf("%+v: %d products of packed weights and %d of others, without decorators %d and %d",
					o, w.packed, w.strided, plain.packed, plain.strided)
			}
			for j := range want {
				if !same(got[j], want[j]) {
					t.Errorf("%+v: request %d: %v decorated, %v else", o, j, got[j], want[j])
				}
			}
		}
	}
}
