package tensor

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
)

// CrossEntropyOptions are additions to a cross-entropy loss. The zero value adds nothing.
type CrossEntropyOptions struct {
	// LabelSmoothing ε in [0, 1] moves the probability mass ε from the target to all V
	// classes equally (Szegedy et al. 2016), as PyTorch's label_smoothing does.
	LabelSmoothing float64
	// ZLoss is the coefficient of (ln Σ exp(logits))², which keeps logits small (PaLM §5).
	ZLoss float64
}

// CrossEntropy returns the loss of each row of logits [N, V] for the class targets [N]
// I32:
//
//	l = lse − (1−ε)·z[target] − ε·mean(z) + ZLoss·lse²     z is the row, lse = ln Σ exp(z)
//
// The result is [N], F32 if logits are BF16. A negative target gives 0, and no gradient
// to finite logits. Nothing is averaged: use Sum, and Mul with weights. LogProbs computes
// the same from an output head without storing the logits.
func CrossEntropy(logits, targets Tensor, o CrossEntropyOptions) Tensor {
	mustBe2D("CrossEntropy", "logits", logits)
	n, v := logits.Dim(0), logits.Dim(1)
	switch eps := o.LabelSmoothing; {
	case targets.view.Rank != 1 || targets.Dim(0) != n:
		panic(fmt.Sprintf("tensor: CrossEntropy: logits %v, targets %v: want targets [%d]", logits.Shape(),
			targets.Shape(), n))
	case !(eps >= 0 && eps <= 1):
		panic(fmt.Sprintf("tensor: CrossEntropy: LabelSmoothing is %v, want 0 to 1", eps))
	case !(o.ZLoss >= 0) || math.IsInf(o.ZLoss, 0):
		panic(fmt.Sprintf("tensor: CrossEntropy: ZLoss is %v, want 0 or more and finite", o.ZLoss))
	}
	scopeOf("CrossEntropy", logits, targets)
	z := logits.Cast(logits.DType().Compute())
	if z.view.Strides[1] != 1 && v > 1 {
		z = z.Contiguous()
	}
	s := scopeOf("CrossEntropy", z, targets)
	y, lse := s.alloc(z.view.DType, n), s.alloc(z.view.DType, n)
	s.do(&backend.LogSumExp{LSE: lse.view, X: z.View(), InvTemp: 1})
	s.withTemps(y.view, func(t temps) {
		part := t.next()
		t.do(&backend.GatherLast{Y: columns(part), X: z.View(), Index: columns(targets.View())})
		t.affine(part, part, 1-o.LabelSmoothing, 0)
		t.binary(backend.Sub, y.view, lse.view, part)
		if o.LabelSmoothing > 0 {
			t.do(&backend.Reduce{Y: part, X: z.View(), Fn: backend.Sum})
			t.affine(part, part, o.LabelSmoothing/float64(v), 0)
			t.binary(backend.Sub, y.view, y.view, part)
		}
		if o.ZLoss > 0 {
			t.binary(backend.Mul, part, lse.view, lse.view)
			t.affine(part, part, o.ZLoss, 0)
			t.binary(backend.Add, y.view, y.view, part)
		}
		t.zeroWhereNegative(y.view, y.view, targets.View())
	})
	if s.needs(z) {
		s.track([]*Tensor{&y}, []Tensor{z, lse, targets}, func(dy []gradient) {
			g := s.newGradient(z)
			s.withTemps(dy[0].View, func(t temps) {
				d, k := t.next(), t.next()
				t.zeroWhereNegative(d, dy[0].View, targets.view)
				// d·((1 + 2·ZLoss·lse)·softmax(z) − ε/V), then −d·(1−ε) at the target
				t.affine(k, lse.view, 2*o.ZLoss, 1)
				t.binary(backend.Mul, k, k, d)
				s.probabilities(g.View, z.view, lse.view, k)
				if o.LabelSmoothing > 0 {
					t.affine(k, d, -o.LabelSmoothing/float64(v), 0)
					t.binary(backend.Add, g.View, g.View, k.Unsqueeze(1).BroadcastTo(n, v))
				}
				t.affine(d, d, o.LabelSmoothing-1, 0)
				t.do(&backend.ScatterLast{Y: g.View, X: columns(d), Index: columns(targets.view)})
			})
			s.give(z, g)
		})
	}
	return y
}

// zeroWhereNegative sets y to x [N], or to 0 where index [N] I32 is negative, even if x
// is NaN there.
func (t temps) zeroWhereNegative(y, x, index backend.View) {
	zero := t.next()
	t.do(&backend.Fill{Dst: zero})
	negative := t.newGradientAs(Tensor{view: index}, backend.I32)
	t.do(&backend.Fill{Dst: negative.View})
	t.binary(backend.Less, negative.View, index, negative.View)
	t.do(&backend.Select{Y: y, Cond: negative.View, A: zero, B: x})
	negative.release()
}
