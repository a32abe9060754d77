package tensor

import "github.com/aha-go/aha/backend"

// LogProbs returns the log-probability of each row's target under the head w [V, D] at
// inverse temperature invTemp, and the entropy of each row's distribution, without
// storing the logits. x is [N, D], targets [N] I32; a negative target gives 0 and no
// gradient. Both results are F32 if x is BF16.
func LogProbs(x Tensor, w *Param, targets Tensor, invTemp float64) (logProb, entropy Tensor) {
	mustFit("LogProbs", x, w, 2)
	s, n, dt := scopeOf("LogProbs", x, targets), x.Dim(0), x.view.DType.Compute()
	logProb, entropy = s.alloc(dt, n), s.alloc(dt, n)
	lse := s.alloc(dt, n)
	s.do(&backend.LinearLogProb{LogProb: logProb.view, LSE: lse.view, Entropy: entropy.view, X: x.View(),
		W: w.matrix(s), Target: targets.View(), InvTemp: invTemp})
	if !s.needs(x) && !(s.recording && w.Trainable) {
		return logProb, entropy
	}
	ev := entropy.view
	s.track([]*Tensor{&logProb, &entropy}, []Tensor{x, lse, entropy, targets}, func(dy []gradient) {
		w.mustHaveBackward()
		op := backend.LinearLogProbGrad{X: x.view, W: w.strided(), Target: targets.view, LSE: lse.view, InvTemp: invTemp}
		var g gradient
		if x.val != nil {
			g = s.newGradient(x)
			op.DX = g.View
		}
		if w.Trainable {
			op.DW, _ = s.gradOf(w)
		}
		if dy[0].st != nil {
			d := s.contiguous(dy[0])
			defer d.release()
			op.DLogProb = d.View
		} else {
			zero := s.newGradient(logProb)
			defer zero.release()
			s.do(&backend.Fill{Dst: zero.View})
			op.DLogProb = zero.View
		}
		if dy[1].st != nil {
			d := s.contiguous(dy[1])
			defer d.release()
			op.DEntropy, op.Entropy = d.View, ev
		}
		s.do(&op)
		if x.val != nil {
			s.give(x, g)
		}
	})
	return logProb, entropy
}

// Logits returns x·wᵀ [N, V] for x [N, D] and the head w [V, D]. It is F32 if x is BF16.
// Samplers use it, and losses of whole distributions. Gradients are those of Linear.
func Logits(x Tensor, w *Param) Tensor { return product("Logits", x, w, x.view.DType.Compute()) }
