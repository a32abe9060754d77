package model

import (
	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// Block is one layer of a Model, from one residual stream to the next. Layer has the
// architectures of the checkpoints; a model of other blocks, which Options.Block makes,
// is trained, generates and learns by reinforcement as one of Layers does.
//
// What a row computes may depend on the weights, the row and the rows it sees, and on
// nothing else: then a cached decoding step has the bits of training.
type Block interface {
	// Forward maps the residual stream h [N, D] to the next one, [N, D]. cache is what
	// NewCache made, nil in training. scores are the affinities [N, E] of Gates, one of each
	// in their order.
	Forward(h tensor.Tensor, rows attention.Rows, cache *attention.Cache) (out tensor.Tensor, scores []tensor.Tensor)
	// NewCache allocates keys and values in dt for a number of tokens; nil if the block has
	// none.
	NewCache(b backend.Backend, dt backend.DType, rows int) (*attention.Cache, error)
	// Gates lists the gates of the block's MoE layers.
	Gates() []*moe.Gate
	// Linears lists the projections that may have adapters.
	Linears() []*tensor.Linear
}

// NewBlock makes the block of layer l from ps, under names of its own choice. Angles are
// those of RoPE for all positions of cfg, and o are the options of the model: a block with
// attention honours o.RoundKV. Layers past the last are those of multi-token prediction.
type NewBlock func(ps *tensor.Params, cfg Config, l int, angles tensor.Angles, o Options) Block
