package tensor

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend"
)

// NotFinite describes the first element of params that is NaN or infinite, such as
// "lm_head.weight[7 3] is NaN". It returns "" if all are finite. Values are downloaded in
// pieces.
func NotFinite(params []*Param) (string, error) {
	const piece = 1 << 20 // elements
	for _, p := range params {
		if p.Packed() { // there is no master value to slice
			x, err := p.Floats()
			if err != nil {
				return "", err
			}
			if at := firstNotFinite(x); at >= 0 {
				return p.describe(at, x[at]), nil
			}
			continue
		}
		all := p.value.Reshape(p.Len())
		for from := 0; from < p.Len(); from += piece {
			x, err := backend.Values(p.b, all.Slice(0, from, min(from+piece, p.Len())))
			if err != nil {
				return "", fmt.Errorf("tensor: %s: %w", p.Name, err)
			}
			if at := firstNotFinite(x); at >= 0 {
				return p.describe(from+at, x[at]), nil
			}
		}
	}
	return "", nil
}

// firstNotFinite returns the index of the first NaN or infinity, or −1 if there is none.
func firstNotFinite(x []float64) int {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return i
		}
	}
	return -1
}

// describe says that the element at a row-major index has value x. In the name of a stack
// it replaces the * by the number of the matrix.
func (p *Param) describe(index int, x float64) string {
	shape := p.Shape()
	at := make([]int, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		at[d], index = index%shape[d], index/shape[d]
	}
	name := p.Name
	if strings.Contains(name, "*") {
		name, at = strings.Replace(name, "*", strconv.Itoa(at[0]), 1), at[1:]
	}
	return fmt.Sprintf("%s%v is %v", name, at, x)
}
