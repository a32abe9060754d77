package distill

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// Shapes: N rows, D hidden, V vocabulary, K teacher tokens.

// Logit distils by forward KL at a temperature, over the teacher's K most likely tokens.
// The zero value uses the whole vocabulary at temperature 1.
type Logit struct {
	Temperature float64 // of both distributions; 0 means 1
	// TopK is the number K of the teacher's most likely tokens that are used, with their
	// probabilities renormalised. The student's optimum is then the teacher sampled with
	// this top-k, not the full teacher. 0 means the whole vocabulary.
	TopK int
}

// Teacher is a model that is only run, never trained. It keeps the memory of its forwards
// for the next batch.
type Teacher struct {
	model *model.Model
	quiet *tensor.Scope
}

// NewTeacher returns m as a teacher. The weights of m must not change while the teacher is
// in use. Close releases the memory of its forwards, but not m.
func NewTeacher(m *model.Model) *Teacher {
	return &Teacher{m, tensor.NewScope(m.Backend(), tensor.Options{})}
}

// Close releases the memory of the teacher's forwards.
func (t *Teacher) Close() { t.quiet.Close() }

// Targets is the teacher's distribution at each row of a batch.
type Targets struct {
	LogProb tensor.Tensor // [N, K]: log q, normalised over the K tokens
	Index   tensor.Tensor // [N, K] I32: the K tokens, the most likely first; absent if K is V
}

// Targets runs the teacher on b, without gradients. The result is on the student's device,
// in the student's dtype, and lives in s.
func (l Logit) Targets(s *tensor.Scope, t *Teacher, b model.Batch) Targets {
	l.check()
	quiet := t.quiet
	quiet.Reset()
	quiet.Fail(s.Err())
	own := func(x tensor.Tensor) tensor.Tensor { return quiet.Constant(x.View()) }
	in := b
	in.IDs = own(b.IDs)
	in.Rows.Pos, in.Rows.Start, in.Rows.Len = own(b.Rows.Pos), own(b.Rows.Start), own(b.Rows.Len)
	z := tensor.Scale(tensor.Logits(t.model.Forward(quiet, in).Hidden, t.model.Head), 1/l.temperature()) // [N,V]

	s.Fail(quiet.Err())

	var q Targets
	z = s.Constant(z.View())
	if l.TopK > 0 && l.TopK < z.Dim(1) {
		z, q.Index = tensor.TopK(z, l.TopK)
	}
	q.LogProb = tensor.LogSoftmax(z)
	return q
}

// Loss is the loss of a batch, of shape [1]:
//
//	T²·Σ_i w_i Σ_k q_i(k)·(log q_i(k) − log p_i(k))
//
// with q the teacher's targets, p the distribution of the student at the same temperature
// T, computed from out, the result of its forward of b, and w the batch's weights. T² makes
// the size of the gradient independent of T (Hinton et al. §2.1). p is normalised over the
// whole vocabulary, so that probability outside of the teacher's K tokens increases the
// loss. The logits [N, V] of the batch are kept in memory; train.Trainer's MaxRows limits
// N.
func (l Logit) Loss(student *model.Model, out model.Output, b model.Batch, q Targets) tensor.Tensor {
	l.check()
	z := tensor.Scale(tensor.Logits(out.Hidden, student.Head), 1/l.temperature()) // [N,V]
	var logP tensor.Tensor                                                        // [N,K]
	if q.Index.Present() {
		logP = tensor.LogSoftmaxAt(z, q.Index)
	} else {
		logP = tensor.LogSoftmax(z)
	}
	kl := tensor.SumLast(tensor.Mul(tensor.Exp(q.LogProb), tensor.Sub(q.LogProb, logP)))
	return tensor.Scale(tensor.Sum(tensor.Mul(b.Weight, kl)), l.temperature()*l.temperature())
}

// TrainerLoss returns a loss for t, a trainer of the student, that moves the student
// towards the teacher on every batch. It includes the loss of t.Drafter and the balance
// loss if t has them, see train.Trainer.Assemble.
func (l Logit) TrainerLoss(t *train.Trainer, teacher *Teacher) func(s *tensor.Scope, b model.Batch) tensor.Tensor {
	if v, w := t.Model.Config.VocabSize, teacher.model.Config.VocabSize; v != w {
		panic(fmt.Sprintf("distill: Logit: a student of %d tokens, a teacher of %d: want one vocabulary", v, w))
	}
	return func(s *tensor.Scope, b model.Batch) tensor.Tensor {
		q := l.Targets(s, teacher, b)
		return t.Assemble(s, b, func(out model.Output) tensor.Tensor { return l.Loss(t.Model, out, b, q) })
	}
}

func (l Logit) temperature() float64 {
	if l.Temperature == 0 {
		return 1
	}
	return l.Temperature
}

func (l Logit) check() {
	if t := l.temperature(); !(t > 0 && t <= math.MaxFloat64) || l.TopK < 0 {
		panic(fmt.Sprintf("distill: Logit: Temperature %g, TopK %d: want a positive, finite temperature and no negative k",
			l.Temperature, l.TopK))
	}
}
