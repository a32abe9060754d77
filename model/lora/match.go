package lora

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// projections are all of blocks that may have adapters, each once where blocks share it.
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

// match lists the projections that c names, in the model's order.
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
			return nil, fmt.Errorf("target %q names nothing of the layers; projections are %s", t,
				strings.Join(components(projections(m.Blocks...)), ", "))
		}
	}
	return list, nil
}

// refuse reports a target that names a matrix which takes no adapter.
func refuse(m *model.Model, target string) error {
	for _, p := range m.Params.All() {
		if name := strings.TrimSuffix(p.Name, ".weight"); names(target, name) && p.Kind == tensor.KindExperts {
			return fmt.Errorf("target %q names the routed experts %s, which take no adapter: name other projections in full, "+
				"such as shared_experts.%s", target, name, component(name))
		}
	}
	return nil
}

// names reports whether target is name or the end of it, in whole components.
func names(target, name string) bool { return name == target || strings.HasSuffix(name, "."+target) }

// component is the last one of a name.
func component(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// components are the last ones of the names in list, sorted, each once.
func components(list []adapter) []string {
	var all []string
	for _, x := range list {
		all = append(all, component(x.name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
