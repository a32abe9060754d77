package tensor

import "github.com/aha-go/aha/backend"

// Angles are the cosines and sines of rotary position embedding, each [P, R/2].
type Angles struct{ Cos, Sin *Param }

// RoPE rotates the last R elements of each row of x [N, H, D] by the angles of the
// token's position, see backend.RoPE.
func RoPE(x, pos Tensor, a Angles, interleaved bool) Tensor {
	s := scopeOf("RoPE", x, pos)
	y := s.allocLike(x.view)
	s.do(&backend.RoPE{Y: y.view, X: x.View(), Pos: pos.View(), Cos: a.Cos.value, Sin: a.Sin.value,
		Interleaved: interleaved})
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{pos}, func(dy []gradient) {
			d := s.owned(dy[0])
			s.do(&backend.RoPE{Y: d.View, X: d.View, Pos: pos.view, Cos: a.Cos.value, Sin: a.Sin.value,
				Interleaved: interleaved, Inverse: true})
			s.give(x, d)
		})
	}
	return y
}

// MLAKeys returns the keys [N, H, nope+R] of multi-head latent attention and, as a view
// of up, the values [N, H, V]. up is [N, H, nope+V]; kR [N, R], the key that all heads
// share, is rotated here. See backend.MLAKeys.
func MLAKeys(up, kR, pos Tensor, nope int, a Angles, interleaved bool) (k, v Tensor) {
	s := scopeOf("MLAKeys", up, kR, pos)
	k = s.alloc(up.view.DType, up.Dim(0), up.Dim(1), nope+kR.Dim(1))
	v = up
	v.view, v.val = up.view.Slice(2, nope, up.Dim(2)), nil
	s.do(&backend.MLAKeys{K: k.view, Up: up.View(), KR: kR.View(), Pos: pos.View(), Cos: a.Cos.value, Sin: a.Sin.value,
		Interleaved: interleaved})
	if s.needs(up, kR) {
		s.track([]*Tensor{&k, &v}, []Tensor{pos}, func(dy []gradient) {
			dUp, dKR := s.newGradient(up), s.newGradient(kR)
			dk, dv := s.orZero(dy[0], k), s.orZero(dy[1], v)
			s.do(&backend.MLAKeysGrad{
				DUp: dUp.View, DKR: dKR.View, DK: dk.View, DV: dv.View,
				Pos: pos.view, Cos: a.Cos.value, Sin: a.Sin.value, Interleaved: interleaved,
			})
			dk.release()
			dv.release()
			s.give(up, dUp)
			s.give(kR, dKR)
		})
	}
	return k, v
}

// CacheMLAKeys writes the keys and values that MLAKeys computes to the rows row [N] I32
// of a cache, k [R, H, nope+R] and v [R, H, V]. Nothing is put on the tape.
func CacheMLAKeys(k, v backend.View, up, kR, pos, row Tensor, a Angles, interleaved bool) {
	scopeOf("CacheMLAKeys", up, kR, pos, row).do(&backend.MLAKeys{
		K: k, V: v, Up: up.View(), KR: kR.View(), Pos: pos.View(), Row: row.View(),
		Cos: a.Cos.Value(), Sin: a.Sin.Value(), Interleaved: interleaved,
	})
}
