package cuda_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func zeros(int) float64 { return 0 }

// TestSamplerAndLogSumExpShareOneScore compares log-probabilities bit for bit.
func TestSamplerAndLogSumExpShareOneScore(t *testing.T) {
	const n, vocab, seed = 5, 2*backend.VocabChunk + 77, 11
	const temperature float32 = 0.7
	s := emulatedDevice(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	logit := func(int) float64 { return 3 * rng.NormFloat64() }
	ints := func(int) float64 { return float64(rng.IntN(1 << 20)) }
	x := s.operand(backend.F32, logit, n, vocab)
	draw := &backend.Sample{
		Token: s.operand(backend.I32, zeros, n), LogProb: s.operand(backend.F32, zeros, n), X: x,
		Seed: s.operand(backend.I32, ints, n, 2), Pos: s.operand(backend.I32, ints, n),
		TopK:        s.operand(backend.I32, zeros, n),
		Temperature: s.operand(backend.F32, func(int) float64 { return float64(temperature) }, n),
		TopP:        s.operand(backend.F32, func(int) float64 { return 1 }, n),
	}
	score := &backend.LogSumExp{
		LSE: s.operand(backend.F32, zeros, n), Entropy: s.operand(backend.F32, zeros, n),
		X: x, InvTemp: 1 / float64(temperature),
	}
	s.do(draw, score)
	logits, lse, logProb := s.values(x), s.values(score.LSE), s.values(draw.LogProb)
	for i, token := range s.values(draw.Token) {
		z := float32(logits[i*vocab+int(token)]) * float32(score.InvTemp)
		if want := z - float32(lse[i]); math.Float32bits(want) != math.Float32bits(float32(logProb[i])) {
			t.Errorf("seed %d, row %d, token %v: log-probability %v, want %v by LogSumExp", seed, i, token, logProb[i], want)
		}
	}
}

func TestAssignmentsOutOfRangeAreReported(t *testing.T) {
	s := emulatedDevice(t)
	for bad, message := range map[float64]string{4: "index 4,", -1: "index -1,", -7: "index -7,"} {
		perm := s.operand(backend.I32, func(i int) float64 { return []float64{0, 1, bad, 3}[i] }, 4)
		x, y := s.operand(backend.F32, zeros, 2, 3), s.operand(backend.F32, zeros, 4, 3)
		s.must(s.Do(&backend.MoEDispatch{Y: y, X: x, Perm: perm}))
		if err := s.Sync(); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("Sync after assignment %v: %v, want an error with %q", bad, err, message)
		}
		s.must(s.Sync())
	}
}

func TestGateRefusesMoreExpertsThanItHolds(t *testing.T) {
	s := emulatedDevice(t)
	const experts = 1025
	err := s.Do(&backend.MoEGate{
		Weight: s.operand(backend.F32, zeros, 1, 1), Index: s.operand(backend.I32, zeros, 1, 1),
		Scores: s.operand(backend.F32, zeros, 1, experts), Logits: s.operand(backend.F32, zeros, 1, experts),
		Groups: 1, TopGroups: 1, Scale: 1,
	})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "1025 experts") {
		t.Errorf("a gate over %d experts: %v, want ErrUnsupported", experts, err)
	}
}
