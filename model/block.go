package model

import (
	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// Block is one layer of a Model, which maps the residual stream to the residual stream.
// Layer is the Block of the published architectures. A model of other blocks, made by
// Options.Block, supports training, generation and reinforcement learning like a model of
// Layers.
//
// The output of a row may depend only on the weights, the row, and the rows that it attends
// to. Then a decoding step with a cache has the bits of the training forward.
type Block interface {
	// Forward maps the residual stream h [N, D] to the next one, [N, D]. cache is the one
	// that NewCache made, nil in training. scores are the affinities [N, E] of the block's
	// gates, in the order of Gates.
	Forward(h tensor.Tensor, rows attention.Rows, cache *attention.Cache) (out tensor.Tensor, scores []tensor.Tensor)
	// NewCache allocates a cache of keys and values for the given number of tokens, in dt.
	// It returns nil if the block needs none.
	NewCache(b backend.Backend, dt backend.DType, rows int) (*attention.Cache, error)
	// Gates lists the gates of the block's MoE layers.
	Gates() []*moe.Gate
	// Linears lists the projections that may have adapters.
	Linears() []*tensor.Linear
}

// NewBlock makes the block of layer l, with parameters of ps under names of its choice.
// angles are the RoPE tables for all positions of cfg, and o are the options of the model;
// a block with attention must respect o.RoundKV. Layers from NumHiddenLayers on belong to
// multi-token prediction.
type NewBlock func(ps *tensor.Params, cfg Config, l int, angles tensor.Angles, o Options) Block
