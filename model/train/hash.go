package train

import (
	"crypto/sha256"
	"fmt"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/checkpoint"
)

// WeightsSHA256 returns a checksum, in hexadecimal, of the names, dtypes, shapes and values
// of params, in order. If two runs, or a trainer and a generator, have equal sums, their
// weights are equal bit for bit.
func WeightsSHA256(params []*tensor.Param) (string, error) {
	sum := sha256.New()
	for _, t := range checkpoint.Tensors(params) {
		fmt.Fprintf(sum, "%q %s %v\n", t.Name, t.DType, t.Shape)
		if err := t.Stream(sum); err != nil {
			return "", fmt.Errorf("train: checksum of %s: %w", t.Name, err)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}
