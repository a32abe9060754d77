package checkpoint

import (
	"errors"

	"github.com/aha-go/aha/backend/tensor"
)

// ErrMissing is wrapped by Load's error for a parameter that no file holds.
var ErrMissing = errors.New("no such tensor")

// LoadOptions say how tensors are read.
type LoadOptions struct {
	// Block is the rows and columns of a block of FP8 weights, the weight_block_size of
	// a config.json: then every FP8 matrix must have scales. The zero value means
	// V3Block where there are scales; FP8 without them is taken as it is.
	Block [2]int
	// Progress is called with the bytes read so far and those to be read. If nil,
	// nothing is reported.
	Progress func(done, total int64)
}

func (o LoadOptions) block() [2]int {
	if o.Block == [2]int{} {
		return V3Block
	}
	return o.Block
}

// Load is [Reader.Load] of the file or directory at path, see [Open].
func Load(path string, params []*tensor.Param) (unclaimed []string, err error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Load(params, LoadOptions{})
}

// Load overwrites the values of params by the tensors of their names, and returns the
// names of tensors that no parameter claimed, sorted. Parameters may be packed: each
// tensor is read, converted and packed a piece at a time, so that beside the
// parameters in their final form only a few megabytes are needed. Pieces are read in
// parallel.
//
// F64, F32, BF16, F16, F8_E4M3 and F8_E5M2 are converted to the parameter's dtype
// by [backend.Copy] on its device. FP8 beside scales, a tensor NAME_scale_inv of F32,
// BF16 or F8_E8M0 with one for each block, is multiplied by them and the product
// rounded to F32, or kept bit for bit by a parameter that is packed in the same format.
//
// Every name, shape and dtype is checked before the first value is overwritten: the
// error wraps a [FormatError] with [ErrMissing], [ErrShape], [ErrDType] or [ErrScaled]
// for each fault. Only a file or device that fails while it is read leaves some of the
// parameters changed; a file that became shorter is [ErrTruncated].
func (r *Reader) Load(params []*tensor.Param, o LoadOptions) (unclaimed []string, err error) {
	list, err := r.plan(params, o)
	if err != nil {
		return nil, err
	}
	if err := r.read(list, o.Progress); err != nil {
		return nil, err
	}
	claimed := map[string]bool{}
	for i := range list {
		claimed[list[i].info.Name] = true
		if list[i].scaled() {
			claimed[list[i].scale.Name] = true
		}
	}
	for _, t := range r.tensors {
		if !claimed[t.Name] && !isDerived(t.Name) {
			unclaimed = append(unclaimed, t.Name)
		}
	}
	return unclaimed, nil
}

// Check is the error that Load would have before the first value is overwritten. It
// needs names, shapes and formats of params, not their memory.
func (r *Reader) Check(params []*tensor.Param, o LoadOptions) error {
	_, err := r.plan(params, o)
	return err
}
