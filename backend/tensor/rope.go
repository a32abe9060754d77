package tensor

import "github.com/aha-go/aha/backend"

// Angles are the cosines and sines of rotary embedding, [P, R/2] each.
type Angles struct{ Cos, Sin *Param }

// RoPE rotates x [N, H, R] by the angles of each token's position, see
// backend.RoPE.
func RoPE(x, pos Tensor, a Angles, interleaved bool) Tensor {
	s := x.s
	y := s.allocLike(x.view)
	op := backend.RoPE{Y: y.view, X: x.View(), Pos: pos.View(), Cos: a.Cos.value, Sin: a.Sin.value, Interleaved: interleaved}
	s.do(&op)
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{pos}, func(dy []gradient) {
			g := s.newGradient(x)
			d := s.contiguous(dy[0])
			s.do(&backend.RoPE{Y: g.View, X: d.View, Pos: pos.view, Cos: a.Cos.value, Sin: a.Sin.value, Interleaved: interleaved, Inverse: true})
			d.release()
			s.give(x, g)
		})
	}
	return y
}
