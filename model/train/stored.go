package train

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/checkpoint"
)

// storedParams returns the parameters that checkpoints hold: all or, if the model has
// adapters, only those that change: trainable parameters, and the selection biases of gates
// with trainable routers.
func (t *Trainer) storedParams() []*tensor.Param {
	if !slices.ContainsFunc(t.params, func(p *tensor.Param) bool { return p.Kind == tensor.KindAdapter }) {
		return t.params
	}
	moves := map[*tensor.Param]bool{}
	for _, g := range t.gates {
		moves[g.Bias] = g.W.W.Trainable
	}
	var stored []*tensor.Param
	for _, p := range t.params {
		if p.Trainable || moves[p] {
			stored = append(stored, p)
		}
	}
	return stored
}

// baseSHA256 returns a checksum of the parameters that checkpoints do not hold: of their
// names, shapes, and values in F32 as matrix products use them. It is empty if checkpoints
// hold all parameters.
func (t *Trainer) baseSHA256() (string, error) {
	if t.base != "" || len(t.stored) == len(t.params) {
		return t.base, nil
	}
	stored := map[*tensor.Param]bool{}
	for _, p := range t.stored {
		stored[p] = true
	}
	rest := slices.DeleteFunc(slices.Clone(t.params), func(p *tensor.Param) bool { return stored[p] })
	sum := sha256.New()
	for _, r := range checkpoint.ParamRows(rest) {
		for _, x := range r.As(checkpoint.F32) {
			fmt.Fprintf(sum, "%q %v\n", x.Name, x.Shape)
			if err := x.Stream(sum); err != nil {
				return "", fmt.Errorf("train: checksum of %s: %w", x.Name, err)
			}
		}
	}
	t.base = fmt.Sprintf("%x", sum.Sum(nil))
	return t.base, nil
}
