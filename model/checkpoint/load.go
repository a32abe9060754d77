package checkpoint

import (
	"errors"

	"github.com/aha-go/aha/backend/tensor"
)

// ErrMissing is wrapped by the error of Load for a parameter that is in no file.
var ErrMissing = errors.New("no such tensor")

// LoadOptions describes how tensors are read.
type LoadOptions struct {
	// Block is the number of rows and columns of a block of FP8 weights, the
	// weight_block_size of config.json. If set, every FP8 matrix must have scales. The zero
	// value means V3Block for matrices that have scales; FP8 matrices without scales are
	// read without scaling.
	Block [2]int
	// Progress is called with the number of bytes read so far and the total. If nil,
	// nothing is reported.
	Progress func(done, total int64)
}

func (o LoadOptions) block() [2]int {
	if o.Block == [2]int{} {
		return V3Block
	}
	return o.Block
}

// Load calls [Reader.Load] for the file or directory at path, see [Open].
func Load(path string, params []*tensor.Param) (unclaimed []string, err error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Load(params, LoadOptions{})
}

// Load sets params to the tensors of the same names, and returns the sorted names of the
// tensors that no parameter has. Parameters may be packed: each tensor is read, converted
// and packed piece by piece, so that only a few megabytes are needed in addition to the
// parameters. Several pieces are read in parallel.
//
// Tensors of F64, F32, BF16, F16, F8_E4M3 and F8_E5M2 are converted to the parameter's
// dtype by [backend.Copy] on its device. FP8 with scales, that is with a tensor
// NAME_scale_inv of F32, BF16 or F8_E8M0 with one scale per block, is multiplied by its
// scales and rounded to F32; a parameter packed in the same format keeps elements and
// scales bit for bit.
//
// Load checks every name, shape and dtype before it overwrites the first value. For each
// fault, the error wraps a [FormatError] with [ErrMissing], [ErrShape], [ErrDType] or
// [ErrScaled]. Some parameters are changed on error only if a file or device fails during
// the transfer; a file that was truncated meanwhile is [ErrTruncated].
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

// Check returns the error that Load would return before it overwrites a value. It needs the
// names, shapes and formats of params, but not their memory.
func (r *Reader) Check(params []*tensor.Param, o LoadOptions) error {
	_, err := r.plan(params, o)
	return err
}
