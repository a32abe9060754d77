package lora

import (
	"slices"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/moe"
)

// once is a block of one projection, which several layers may share.
type once struct{ linear *tensor.Linear }

func (b *once) Forward(h tensor.Tensor, _ attention.Rows, _ *attention.Cache) (tensor.Tensor, []tensor.Tensor) {
	return tensor.Add(h, tensor.Tanh(b.linear.Forward(h))), nil
}

func (b *once) NewCache(backend.Backend, backend.DType, int) (*attention.Cache, error) {
	return nil, nil
}

func (b *once) Gates() []*moe.Gate { return nil }

func (b *once) Linears() []*tensor.Linear { return []*tensor.Linear{b.linear} }

// A projection that several layers share has one adapter.
func TestLayersThatShareAProjectionShareItsAdapter(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var block *once
	m, err := model.NewWith(b, model.Tiny(32), 1, model.Options{
		Block: func(ps *tensor.Params, c model.Config, _ int, _ tensor.Angles, _ model.Options) model.Block {
			if block == nil {
				block = &once{tensor.NewLinear(ps, "once", c.HiddenSize, c.HiddenSize, false)}
			}
			return block
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	a, err := Attach(m, Config{Rank: 2, Alpha: 2, Targets: []string{AllLinear}})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Names(); !slices.Equal(got, []string{"once"}) || len(m.Blocks) < 2 {
		t.Errorf("adapters of %v in %d layers, want one of once", got, len(m.Blocks))
	}
	if err := a.Merge(); err != nil {
		t.Error(err)
	}
}
