package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend"
)

// workload is a kind of work that can be measured.
type workload struct {
	name, about string
	shape       string   // describes how a shape is written
	shapes      []string // shapes that -list shows
	defaults    []string // shapes to measure without -shapes
	formats     []format // formats that the workload supports
	usual       []format // formats to measure without -format
	check       func(o options, shape string) error
	generates   bool // the workload generates with a whole model
	measure     func(ctx context.Context, b *bench, t task) error
}

var (
	f32  = format(backend.Native)
	bf16 = format(backend.BFloat16)
	fp8  = format(backend.FP8)
	q8   = format(backend.Q8)
	q4   = format(backend.Q4)
	q4_1 = format(backend.Q4_1)
)

// workloads returns all workloads in the order in which -workload all runs them.
func workloads() []*workload {
	all := []format{f32, bf16, fp8, q8, q4, q4_1}
	return []*workload{
		{
			name: "limits", about: "the peak rates of the machine: value is the median, limit the best interval",
			shape: "f32, bf16, int8 (register loops) or read (memory)", defaults: limitShapes, shapes: limitShapes,
			formats: []format{f32}, usual: []format{f32}, check: checkLimit, measure: measureLimit,
		},
		{
			name: "matmul", about: "one matrix product with B packed and, for f32 and bf16, also unpacked; " +
				"packed products of few rows cycle through more copies of B than the caches hold",
			shape: "M×N×K, such as 8x4096x4096", defaults: matmulShapes, shapes: matmulShapes,
			formats: all, usual: all, check: checkMatMul, measure: measureMatMul,
		},
		{
			name: "train", about: "a training step of a dense model: forward, backward, AdamW",
			shape: "layers×width", defaults: trainShapes, shapes: trainShapes,
			formats: []format{f32, bf16}, usual: []format{f32, bf16}, check: checkTrain, measure: measureTrain,
		},
		{
			name: "moe", about: "an MoE layer and a dense FFN with as many active operations; " +
				"ratio is the time of the MoE layer over that of the FFN",
			shape: "hidden×experts×intermediate×top-k", defaults: moeShapes, shapes: moeShapes,
			formats: all, usual: []format{f32, bf16}, check: checkMoE, measure: measureMoE,
		},
		{
			name: "mla", about: "decoding with absorbed MLA: the time of one more cached token, " +
				"from the times with -context tokens and with a quarter of them",
			shape: "a model", defaults: []string{"deepseek-v2-lite"}, shapes: mlaPresets(),
			formats: []format{f32}, usual: []format{f32}, check: checkMLA, measure: measureMLA,
		},
		{
			name: "decode", about: "tokens decoded per second after a prompt",
			shape: "a model", defaults: []string{"r1-distill-qwen-1.5b"}, shapes: presetNames(),
			formats: all, usual: []format{bf16, fp8, q8, q4}, generates: true, check: checkModel, measure: measureDecode,
		},
		{
			name: "prefill", about: "prompt tokens per second until the first token is sampled",
			shape: "a model", defaults: []string{"r1-distill-qwen-1.5b"}, shapes: presetNames(),
			formats: all, usual: []format{bf16, fp8, q8, q4}, generates: true, check: checkModel, measure: measurePrefill,
		},
		{
			name: "grpo", about: "a GRPO step of examples/r1zero with completions of fixed length: rollout and training",
			shape: "prompts of a step", defaults: []string{"64"}, shapes: []string{"64"},
			formats: []format{f32, bf16}, usual: []format{f32}, check: checkGRPO, measure: measureGRPO,
		},
	}
}

func names() []string {
	var all []string
	for _, w := range workloads() {
		all = append(all, w.name)
	}
	return all
}

// listing returns what -list prints.
func listing() string {
	var s strings.Builder
	for _, w := range workloads() {
		fmt.Fprintf(&s, "%s: %s\n  shapes, each %s:\n", w.name, w.about, w.shape)
		for _, shape := range w.shapes {
			mark := ""
			if slices.Contains(w.defaults, shape) {
				mark = " (default)"
			}
			fmt.Fprintf(&s, "    %s%s\n", shape, mark)
		}
		fmt.Fprintf(&s, "  formats: %v, by default %v\n", w.formats, w.usual)
	}
	return s.String()
}

// sizes parses a shape such as 8x4096x4096, which must have want positive sizes.
func sizes(shape string, want int) ([]int, error) {
	parts := strings.Split(shape, "x")
	out := make([]int, len(parts))
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 1<<24 {
			return nil, fmt.Errorf("%q is not a size", p)
		}
		out[i] = n
	}
	if len(out) != want {
		return nil, fmt.Errorf("%d sizes, want %d", len(out), want)
	}
	return out, nil
}
