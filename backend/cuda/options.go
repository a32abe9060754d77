package cuda

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend/cuda/internal/cublaslt"
)

// Options configures a device.
type Options struct {
	// CuBLASLt selects NVIDIA's cuBLASLt instead of this package's kernels for
	// products of MatMul, LinearLogProb and LinearLogProbGrad whose matrix has
	// the format Native and whose operands are all F32, or BF16 with a result
	// in BF16 or F32. Columns or rows of the views must be contiguous (rows,
	// for C), and leading dimensions must have a common stride. All other
	// products use this package's kernels. It is an error if cuBLASLt offers no
	// algorithm for such a product.
	//
	// This gives up exactness: the sizes of the product, the strides, and the
	// alignment of the operands up to 16 bytes determine the algorithm and with
	// it the order of a sum. So repeating a run gives the same bits, but a row
	// does not have the same bits in every batch, and log-probabilities of a
	// rollout differ from the trainer's by rounding.
	//
	// In a device's name it is written "cuda:0?products=cublaslt".
	CuBLASLt bool
}

// blas loads cuBLASLt if o asks for it, and otherwise returns nil.
func (o Options) blas() (*blas, error) {
	if !o.CuBLASLt {
		return nil, nil
	}
	lib, err := cublaslt.Open()
	if err != nil {
		return nil, err
	}
	return &blas{lib: lib, plans: map[problem]*plan{}}, nil
}

// parseDevice parses a device's name: an index, 0 if empty, and options after a
// "?".
func parseDevice(device string) (index int, o Options, err error) {
	number, query, _ := strings.Cut(device, "?")
	if number != "" {
		if index, err = strconv.Atoi(number); err != nil || index < 0 {
			return 0, o, fmt.Errorf("cuda: device %q, want a number such as 0", device)
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, o, fmt.Errorf("cuda: device %q: %w", device, err)
	}
	for key, list := range values {
		switch key + "=" + strings.Join(list, ",") {
		case "products=kernels":
		case "products=cublaslt":
			o.CuBLASLt = true
		default:
			return 0, o, fmt.Errorf("cuda: device %q: the only option is products=kernels or products=cublaslt", device)
		}
	}
	return index, o, nil
}

// Path returns what the bits of results depend on: what computes products, this
// package's kernels or a version of cuBLASLt, the device's architecture, and
// the version of NVRTC, which provides the exponential and logarithm. Examples
// are "kernels sm_90 nvrtc 13.0" and "cublaslt 13.1.0 sm_90 nvrtc 13.0".
func (b *CUDA) Path() string {
	products := "kernels"
	if b.blas != nil {
		products = "cublaslt " + b.blas.lib.VersionString()
	}
	c := b.kernels.compiler
	return fmt.Sprintf("%s %s nvrtc %d.%d", products, b.kernels.arch, c.Major, c.Minor)
}
