package backendtest

import (
	"fmt"
	"math"
)

// gradientTolerance is the allowed ‖g − ĝ‖/‖ĝ‖ between a gradient's definition
// and central differences in float64, whose own error is about 1e-9.
const gradientTolerance = 1e-6

// CheckGradient compares the gradients that c's op is defined to compute with central
// differences of the forward definition, both in float64 and without a backend. It checks
// the definitions with which Check compares the gradient ops of backends.
func CheckGradient(c Case) error {
	s := c.setup(nil)
	s.want()
	if len(s.gradients) == 0 {
		return fmt.Errorf("%s: no gradient to check", c)
	}
	for _, g := range s.gradients {
		const h = 1e-5
		diff, norm := 0.0, 0.0
		for i, x := range g.x {
			g.x[i] = x + h
			up := g.loss()
			g.x[i] = x - h
			numeric := (up - g.loss()) / (2 * h)
			g.x[i] = x
			diff += (g.g[i] - numeric) * (g.g[i] - numeric)
			norm += numeric * numeric
		}
		diff, norm = math.Sqrt(diff), math.Sqrt(norm)
		if !(diff <= gradientTolerance*norm) {
			return fmt.Errorf("%s: gradient of %s: ‖g−ĝ‖ = %.3g with ‖ĝ‖ = %.3g", c, g.name, diff, norm)
		}
	}
	return nil
}
