package distill

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// Logit distils by forward KL at a temperature over the teacher's most likely
// tokens. The zero value is the full vocabulary at temperature 1.
type Logit struct {
	Temperature float64 // of both distributions; 0 means 1
	TopK        int     // tokens of the teacher that count, renormalised; 0 means all
}

// Targets is the teacher's distribution at each row of a batch.
type Targets struct {
	Prob  tensor.Tensor // [N, K]
	Index tensor.Tensor // [N, K] I32
}

func (l Logit) temperature() float64 {
	if l.Temperature == 0 {
		return 1
	}
	return l.Temperature
}

// Targets runs the teacher over b, a batch of its own vocabulary, without
// gradients; the result lives in s. N rows, V vocabulary, K tokens that count.
func (l Logit) Targets(s *tensor.Scope, teacher *model.Model, b model.Batch) Targets {
	quiet := tensor.NewScope(s.Backend(), tensor.Options{})
	defer quiet.Close()
	rebind := func(t tensor.Tensor) tensor.Tensor { return quiet.Constant(t.View()) }
	in := b
	in.IDs = rebind(b.IDs)
	in.Rows.Pos, in.Rows.Start, in.Rows.Len = rebind(b.Rows.Pos), rebind(b.Rows.Start), rebind(b.Rows.Len)
	z := tensor.Scale(tensor.Logits(teacher.Forward(quiet, in).Hidden, teacher.Head), 1/l.temperature()) // [N,V]
	n, v, dt := z.Dim(0), z.Dim(1), z.DType()
	k := l.TopK
	if k == 0 || k > v {
		k = v
	}
	top := quiet.Empty(dt, n, k)
	out := Targets{Prob: s.Empty(dt, n, k).Keep(), Index: s.Empty(backend.I32, n, k).Keep()}
	quiet.Do(&backend.TopK{Values: top.View(), Index: out.Index.View(), X: z.View()})
	quiet.Do(&backend.Softmax{Y: out.Prob.View(), X: top.View()})
	s.Fail(quiet.Err())
	return out
}

// Loss is T²·Σ_i w_i Σ_v q_i(v)·(log q_i(v) − log p_i(v)), of shape [1], with q
// the teacher's targets, p the student's distribution at temperature T and w the
// batch's weights. T² keeps the gradient's size independent of T (Hinton et
// al. 2015, §2.1).
func (l Logit) Loss(student *model.Model, out model.Output, b model.Batch, q Targets) tensor.Tensor {
	t := l.temperature()
	s := out.Hidden.Scope()
	z := tensor.MatMul(out.Hidden, student.Head.In(s).T()) // [N,V]
	logP := logSoftmaxAt(q.Index).Apply(tensor.Scale(z, 1/t))
	gap := tensor.Sub(tensor.Log(tensor.Clamp(q.Prob, tiny, 1)), logP) // [N,K]
	kl := tensor.SumLast(tensor.Mul(q.Prob, gap))                      // [N]
	return tensor.Scale(tensor.Sum(tensor.Mul(b.Weight, kl)), t*t)
}

// tiny bounds log q away from −Inf where the teacher's probability underflows;
// the product q·log q is then 0 to rounding.
const tiny = 1e-30

// logSoftmaxAt is the log-softmax of logits [N, V] at index [N, K] alone:
//
//	y = z[index] − LSE(z)    dz = scatter(dy) − softmax(z)·Σ_k dy
func logSoftmaxAt(index tensor.Tensor) tensor.Func {
	n, k := index.Dim(0), index.Dim(1)
	return tensor.Func{
		Forward: func(s *tensor.Scope, in []tensor.Tensor) tensor.Tensor {
			z := in[0]
			if z.Dim(0) != n {
				panic(fmt.Sprintf("distill: logits %s for targets %s", z, index))
			}
			lse, picked := s.Empty(z.DType(), n), s.Empty(z.DType(), n, k)
			s.Do(&backend.LogSumExp{LSE: lse.View(), X: z.View(), InvTemp: 1})
			s.Do(&backend.GatherLast{Y: picked.View(), X: z.View(), Index: index.View()})
			return tensor.Sub(picked, lse.Reshape(n, 1))
		},
		Backward: func(s *tensor.Scope, in []tensor.Tensor, _, dy tensor.Tensor) []tensor.Tensor {
			z := in[0]
			p := s.Empty(z.DType(), z.Dim(0), z.Dim(1))
			s.Do(&backend.Softmax{Y: p.View(), X: z.View()})
			dz := tensor.Neg(tensor.Mul(p, tensor.SumLast(dy).Reshape(n, 1)))
			s.Do(&backend.ScatterLast{Y: dz.View(), X: dy.View(), Index: index.View()})
			return []tensor.Tensor{dz}
		},
	}
}
