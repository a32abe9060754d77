package tensor

import "github.com/aha-go/aha/backend"

// SwiGLU returns SiLU(gate)·up, for equal shapes [N, F].
func SwiGLU(gate, up Tensor) Tensor {
	s := scopeOf("SwiGLU", gate, up)
	y := s.allocLike(gate.view)
	s.do(&backend.SwiGLU{Y: y.view, Gate: gate.View(), Up: up.View()})
	if s.needs(gate, up) {
		s.track([]*Tensor{&y}, []Tensor{gate, up}, func(dy []gradient) {
			dg, du := s.newGradient(gate), s.newGradient(up)
			d := s.contiguous(dy[0])
			s.do(&backend.SwiGLUGrad{DGate: dg.View, DUp: du.View, DY: d.View, Gate: gate.view, Up: up.view})
			d.release()
			s.give(gate, dg)
			s.give(up, du)
		})
	}
	return y
}
