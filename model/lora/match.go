package lora

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// projections returns the projections of blocks that may have adapters, once each even if
// blocks share them.
func projections(blocks ...model.Block) []adapter {
	var all []adapter
	for _, b := range blocks {
		for _, l := range b.Linears() {
			if !slices.ContainsFunc(all, func(x adapter) bool { return x.linear == l }) {
				all = append(all, adapter{name: strings.TrimSuffix(l.W.Name, ".weight"), linear: l})
			}
		}
	}
	return all
}

// match returns the projections that c selects, in the model's order.
func match(m *model.Model, c Config) ([]adapter, error) {
	for _, l := range c.Layers {
		if l < 0 || l >= len(m.Blocks) {
			return nil, fmt.Errorf("Config.Layers has %d, the model has layers 0 to %d", l, len(m.Blocks)-1)
		}
	}
	var blocks []model.Block
	for l, b := range m.Blocks {
		if c.Layers == nil || slices.Contains(c.Layers, l) {
			blocks = append(blocks, b)
		}
	}
	var list []adapter
	matched := map[string]bool{}
	for _, x := range projections(blocks...) {
		hit := false
		for _, t := range c.Targets {
			if t == AllLinear || names(t, x.name) {
				hit, matched[t] = true, true
			}
		}
		if hit {
			list = append(list, x)
		}
	}
	for _, t := range c.Targets {
		if err := refuse(m, t); err != nil {
			return nil, err
		}
		if !matched[t] {
			return nil, fmt.Errorf("target %q names nothing in the layers; their projections are %s", t,
				strings.Join(components(projections(m.Blocks...)), ", "))
		}
	}
	return list, nil
}

// refuse returns an error if a target selects a matrix that supports no adapter.
func refuse(m *model.Model, target string) error {
	for _, p := range m.Params.All() {
		if name := strings.TrimSuffix(p.Name, ".weight"); names(target, name) && p.Kind == tensor.KindExperts {
			return fmt.Errorf("target %q names the routed experts %s, which support no adapter: name other projections "+
				"in full, such as shared_experts.%s", target, name, component(name))
		}
	}
	return nil
}

// names reports whether target is name or its end, in whole components.
func names(target, name string) bool { return name == target || strings.HasSuffix(name, "."+target) }

// component returns the last component of a name.
func component(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// components returns the last components of the names in list, sorted and without
// duplicates.
func components(list []adapter) []string {
	var all []string
	for _, x := range list {
		all = append(all, component(x.name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
