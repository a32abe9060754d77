package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aha-go/aha/model"
)

// presets lists the models that -shapes can name.
var presets = []struct {
	name   string
	config func() model.Config
}{
	{"tiny", func() model.Config { return model.Tiny(32) }},
	{"r1-distill-qwen-1.5b", model.R1DistillQwen1_5B},
	{"r1-distill-qwen-7b", model.R1DistillQwen7B},
	{"r1-distill-qwen-14b", model.R1DistillQwen14B},
	{"r1-distill-qwen-32b", model.R1DistillQwen32B},
	{"r1-distill-llama-8b", model.R1DistillLlama8B},
	{"r1-distill-llama-70b", model.R1DistillLlama70B},
	{"deepseek-v2-lite", model.DeepSeekV2Lite},
	{"moonlight-16b-a3b", model.Moonlight16BA3B},
	{"qwen3-30b-a3b", model.Qwen3_30B_A3B},
	{"deepseek-v2", model.DeepSeekV2},
	{"deepseek-v3", model.DeepSeekV3},
}

func presetNames() []string {
	var names []string
	for _, p := range presets {
		names = append(names, p.name)
	}
	return names
}

// mlaPresets returns the names of the presets with multi-head latent attention.
func mlaPresets() []string {
	return slices.DeleteFunc(presetNames(), func(name string) bool {
		c, _ := preset(name)
		return !c.IsMLA()
	})
}

func preset(name string) (model.Config, error) {
	for _, p := range presets {
		if p.name == name {
			return p.config(), nil
		}
	}
	return model.Config{}, fmt.Errorf("no such model, want some of %s", strings.Join(presetNames(), ", "))
}

// cut returns the named preset with o.Layers layers and without its modules of
// multi-token prediction.
func (o options) cut(name string) (model.Config, error) {
	c, err := preset(name)
	if err != nil {
		return c, err
	}
	if o.Layers > c.NumHiddenLayers {
		return c, fmt.Errorf("-layers %d of a model of %d", o.Layers, c.NumHiddenLayers)
	}
	c.NumHiddenLayers = cmp.Or(o.Layers, c.NumHiddenLayers)
	c.NumNextNPredictLayers = 0
	c.Quantization = nil
	return c, nil
}

// demand is the minimum of operations and of bytes read that a model needs, from
// which the costs of the workloads follow.
type demand struct {
	layers, head cost // of one row's products with the weights
	pair         cost // of one query with one key, in all layers
	experts      float64
	topK         float64
	weights      float64 // bytes of the layers' weights without the routed experts
	expertBytes  float64 // bytes of all routed experts
}

// demandOf returns the demand of m, whose weights it counts in their formats.
func demandOf(m *model.Model) demand {
	c := m.Config
	d := demand{experts: float64(c.NRoutedExperts), topK: float64(c.NumExpertsPerTok)}
	for _, p := range m.Params.All() {
		n, bytes := float64(p.Len()), float64(p.Bytes())
		switch {
		case p == m.Head:
			d.head = operations(format(p.Format), 2*n)
			d.head.bytes = bytes
		case p == m.Embed || len(p.Shape()) < 2:
		case len(p.Shape()) == 3:
			d.layers = d.layers.plus(operations(format(p.Format), 2*n*d.topK/d.experts))
			d.expertBytes += bytes
		default:
			d.layers = d.layers.plus(operations(format(p.Format), 2*n))
			d.weights += bytes
		}
	}
	heads, layers := float64(c.NumAttentionHeads), float64(c.NumHiddenLayers)
	const element = 4 // bytes of an element of the KV cache
	switch {
	case !c.IsMLA():
		d.pair = cost{f32: 4 * heads * float64(c.QKHeadDim()), bytes: 2 * element * float64(c.NumKeyValueHeads*c.QKHeadDim())}
	case m.Options.Absorbed:
		latent, rope := float64(c.KVLoRARank), float64(c.QKRopeHeadDim)
		d.pair = cost{f32: 2 * heads * (2*latent + rope), bytes: element * (latent + rope)}
	default:
		width := heads * float64(c.QKHeadDim()+c.VHeadDim)
		d.pair = cost{f32: 2 * width, bytes: element * width}
	}
	d.pair = d.pair.times(layers)
	return d
}

// read returns the bytes of the layers' weights that a forward pass of that many
// rows reads. Of the experts it counts the expected number that at least one row
// chooses, if all are equally likely.
func (d demand) read(rows float64) float64 {
	if d.experts == 0 {
		return d.weights
	}
	return d.weights + d.expertBytes*(1-math.Pow(1-d.topK/d.experts, rows))
}

// decode returns the cost of decoding one token of each sequence, with context
// cached tokens per sequence.
func (d demand) decode(sequences, context float64) cost {
	c := d.layers.plus(cost{f32: d.head.f32, bf16: d.head.bf16,
		int8: d.head.int8}).plus(d.pair.times(context)).times(sequences)
	c.bytes += d.read(sequences) + d.head.bytes
	return c
}

// prefill returns the cost of prefilling that many prompts of the given length and
// sampling one token after each.
func (d demand) prefill(sequences, length float64) cost {
	c := d.forward(sequences, length).plus(cost{f32: d.head.f32, bf16: d.head.bf16, int8: d.head.int8}.times(sequences))
	c.bytes = d.read(sequences*length) + d.head.bytes
	return c
}

// train returns the operations of a training step on that many sequences of the
// given length. The backward pass counts as two forward passes.
func (d demand) train(sequences, length float64) cost {
	c := d.forward(sequences, length).plus(d.head.times(sequences * length)).times(3)
	c.bytes = 0
	return c
}

// forward returns the operations of the layers on that many sequences of the given
// length, with causal attention.
func (d demand) forward(sequences, length float64) cost {
	c := d.layers.times(length).plus(d.pair.times(length * (length + 1) / 2)).times(sequences)
	c.bytes = 0
	return c
}
