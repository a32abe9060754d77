package model

import "github.com/aha-go/aha/backend/tensor"

// WithoutAdapters calls fn while none of Linears has its adapter: a forward in fn has the
// bits of the base model, without a copy of its weights. What fn records on a tape is
// walked back within fn too. Merged adapters are part of the weights and stay.
func (m *Model) WithoutAdapters(fn func() error) error {
	type place struct {
		linear  *tensor.Linear
		adapter *tensor.LowRank
	}
	var off []place
	for _, l := range m.Linears() {
		if l.Adapter != nil { // once where layers share a projection
			off = append(off, place{l, l.Adapter})
			l.Adapter = nil
		}
	}
	defer func() {
		for _, p := range off {
			p.linear.Adapter = p.adapter
		}
	}()
	return fn()
}
