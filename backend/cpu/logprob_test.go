package cpu

import (
	"testing"

	"github.com/aha-go/aha/backend"
)

// TestSamplerAndLossShareOneScore compares the three ways to compute a token's
// log-probability: LinearLogProb in the trainer, MatMul with LogSumExp, and
// MatMul with Sample in the rollout.
func TestSamplerAndLossShareOneScore(t *testing.T) {
	t.Run("F32", func(t *testing.T) { testSharedScore[float32](t, backend.F32) })
	t.Run("F64", func(t *testing.T) { testSharedScore[float64](t, backend.F64) })
}

func testSharedScore[T number](t *testing.T, dt backend.DType) {
	const n, d, vocab = 61, 24, 2*backend.VocabChunk + 77
	const temperature = 0.7
	invTemp := 1 / float64(T(temperature))
	s := newBench(t, dt, 2, 7)
	x, w := s.normal(n, d), s.normal(vocab, d)
	logits := s.zeros(n, vocab)
	s.do(&backend.MatMul{C: logits, A: x, B: backend.MatrixOf(w.T())})

	draw := &backend.Sample{Token: s.ints(nil, n), LogProb: s.zeros(n), X: logits, Seed: s.ints(s.ids(2*n, 1<<30), n,
		2), Pos: s.ints(s.ids(n, 99), n),
		TopK: s.ints(nil, n), Temperature: s.zeros(n), TopP: s.zeros(n)}
	s.do(&backend.Fill{Dst: draw.Temperature, Value: temperature})
	s.do(&backend.Fill{Dst: draw.TopP, Value: 1})
	s.do(draw)

	loss := &backend.LinearLogProb{LogProb: s.zeros(n), LSE: s.zeros(n), Entropy: s.zeros(n), X: x,
		W: backend.MatrixOf(w.T()), Target: draw.Token, InvTemp: invTemp}
	s.do(loss)
	sameBits(t, "LogProb of Sample and of LinearLogProb", content[T](draw.LogProb), content[T](loss.LogProb))

	score := &backend.LogSumExp{LSE: s.zeros(n), Entropy: s.zeros(n), X: logits, InvTemp: invTemp}
	s.do(score)
	sameBits(t, "LSE", content[T](loss.LSE), content[T](score.LSE))
	sameBits(t, "Entropy", content[T](loss.Entropy), content[T](score.Entropy))
	z, logProb := content[T](logits), make([]T, n)
	for i, v := range content[int32](draw.Token) {
		logProb[i] = T(z[i*vocab+int(v)]*T(invTemp)) - content[T](score.LSE)[i]
	}
	sameBits(t, "LogProb from the logits", content[T](loss.LogProb), logProb)

	without := *loss
	without.LogProb, without.LSE, without.Entropy = s.zeros(n), s.zeros(n), backend.View{}
	s.do(&without)
	sameBits(t, "LSE without entropy", content[T](without.LSE), content[T](loss.LSE))
}

func TestLinearLogProbSkipsNegativeTargetsAndRefusesUnknownOnes(t *testing.T) {
	s := newBench(t, backend.F32, 1, 8)
	op := &backend.LinearLogProb{LogProb: s.normal(2), LSE: s.zeros(2), X: s.normal(2, 3), W: backend.MatrixOf(s.normal(5,
		3).T()), Target: s.ints([]int32{-1, 4}, 2), InvTemp: 1}
	s.do(op)
	if got := floats(op.LogProb); got[0] != 0 || got[1] >= 0 {
		t.Errorf("LogProb %v, want 0 and a negative number", got)
	}
	data[int32](&op.Target)[1] = 5
	panics(t, func() { s.do(op) }, "LinearLogProb", "target 5 of 5")
	grad := &backend.LinearLogProbGrad{DX: s.zeros(2, 3), DLogProb: s.normal(2), X: op.X, W: op.W, Target: op.Target,
		LSE: op.LSE, InvTemp: 1}
	panics(t, func() { s.do(grad) }, "LinearLogProbGrad", "target 5 of 5")
}
