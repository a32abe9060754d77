package backend

import (
	"fmt"
	"math"
)

// CheckNaN returns a decorator of b that checks what every op writes. The first NaN or
// +Inf is an error that names the op, the operand (counted from 0 in the order of
// Operands) and the element. −Inf is allowed: it is the logarithm of 0 and the value of a
// mask.
//
// Elements that the op did not change are allowed too, such as the unused rows of a
// GroupedMatMul. Every written operand is downloaded before and after the op, so CheckNaN
// is slow: use it to find where a NaN arises.
func CheckNaN(b Backend) Backend { return &nanChecker{Decorator{b}} }

type nanChecker struct{ Decorator }

func (c *nanChecker) Do(op Op) error {
	before, err := c.written(op)
	if err != nil {
		return err
	}
	if err := c.Backend.Do(op); err != nil {
		return err
	}
	after, err := c.written(op)
	if err != nil {
		return err
	}
	operand := -1
	op.Operands(func(v *View, a Access) {
		operand++
		if err != nil || a == Read || !v.DType.IsFloat() {
			return
		}
		old, now := before[operand], after[operand]
		for i, x := range now {
			if (math.IsNaN(x) || math.IsInf(x, 1)) && math.Float64bits(x) != math.Float64bits(old[i]) {
				err = fmt.Errorf("backend: CheckNaN: %s wrote %v to element %v of operand %d, %s", op.Name(), x, v.unravel(i),
					operand, *v)
				return
			}
		}
	})
	return err
}

// written returns the values of the float operands that op writes, by operand number.
func (c *nanChecker) written(op Op) (map[int][]float64, error) {
	values := map[int][]float64{}
	operand, err := -1, error(nil)
	op.Operands(func(v *View, a Access) {
		operand++
		if err == nil && a != Read && v.DType.IsFloat() {
			values[operand], err = Values(c.Backend, *v)
		}
	})
	return values, err
}
