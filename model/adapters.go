package model

import "github.com/aha-go/aha/backend/tensor"

// WithoutAdapters calls fn with the adapters of all Linears removed and restores them after
// it: a forward in fn has the bits of the base model, without a copy of its weights. A
// backward pass for a forward in fn must run in fn too. Merged adapters are part of the
// weights and stay.
func (m *Model) WithoutAdapters(fn func() error) error {
	type place struct {
		linear  *tensor.Linear
		adapter *tensor.LowRank
	}
	var off []place
	for _, l := range m.Linears() {
		if l.Adapter != nil { // nil for a projection that several layers share and that was visited before
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
