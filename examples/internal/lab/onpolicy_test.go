package lab

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// small is a scale that decodes 16 completions in 5 slots, so that the batch changes.
var small = Scale{RLSteps: 2, Prompts: 4, Group: 4, MaxTokens: 20, Slots: 5}

// flipper is a decorator that flips one bit of a row of the key caches after their nth
// write.
type flipper struct {
	backend.Decorator
	n      int // 0 means that no bit is flipped
	bit    int // index in an F32, of which a BF16 has the upper 16 bits
	writes int
	what   string // description of the flipped bit
}

func (f *flipper) Do(op backend.Op) error {
	err := f.Backend.Do(op)
	s, ok := op.(*backend.MLAKeys)
	if err != nil || !ok || !s.Row.Present() {
		return err
	}
	if f.writes++; f.writes != f.n {
		return nil
	}
	index := make([]byte, 4)
	if err := f.Download(index, s.Row.Buf, 4*s.Row.Offset); err != nil {
		return err
	}
	dt := s.K.DType
	at, bit := s.K.Offset+int(backend.I32.Get(index, 0))*s.K.Stride(0), f.bit-(32-8*dt.Size())
	word := make([]byte, dt.Size())
	if err := f.Download(word, s.K.Buf, dt.Size()*at); err != nil {
		return err
	}
	was := dt.Get(word, 0)
	word[bit/8] ^= 1 << (bit % 8)
	f.what = fmt.Sprintf("write %d, bit %d of %s: %g became %g", f.n, bit, dt, was, dt.Get(word, 0))
	return f.Upload(s.K.Buf, dt.Size()*at, word)
}

// difference returns the largest difference between the log-probabilities of rollout and
// trainer in a run of two steps.
func difference(t *testing.T, f *flipper, precision backend.DType, onRollout func(*rl.Rollout)) float64 {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.Backend = b
	defer f.Backend.Close()
	m, err := model.NewWith(f, Teacher(), 3, model.Options{Precision: precision})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	gen, err := NewGenerator(m, small)
	if err != nil {
		t.Fatal(err)
	}
	defer gen.Close()
	tr := &train.Trainer{Model: m, Seed: 3}
	defer tr.Close()
	g := GRPO(tr, gen, small)
	// A model with random weights never solves a problem, so another reward is used.
	g.Reward = &reward.Suite{Funcs: []reward.Func{{Name: "even", Score: func(_ context.Context,
		s reward.Sample) reward.Verdict {
		return reward.Verdict{Status: reward.Wrong, Value: float64(strings.Count(s.Completion, "1") % 2)}
	}}}}
	g.SkipZeroStd = false // the trainer scores every completion
	g.MiniBatches = 1     // all of them in the first update
	g.OnRollout = onRollout
	most := 0.0
	for range small.RLSteps {
		step, err := g.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d, ok := step.Values[rl.MetricSamplingDifferenceMax]
		if !ok {
			t.Fatal("no log-probabilities were compared")
		}
		most = max(most, d)
	}
	return most
}

// precisions are the precisions of activations and caches to test.
var precisions = []backend.DType{backend.F32, backend.BF16}

func TestCachedDecodingAndTrainingAgreeBitForBit(t *testing.T) {
	for _, precision := range precisions {
		f := &flipper{}
		if d := difference(t, f, precision, nil); d != 0 {
			t.Errorf("%s: log-probabilities differ by up to %g", precision, d)
		}
		layers, steps := 4, small.MaxTokens
		if f.writes < layers*steps {
			t.Errorf("%s: %d writes to the caches were seen", precision, f.writes)
		}
	}
}

func TestFlippedBitInTheCacheIsNoticed(t *testing.T) {
	const seed = 1 // fixed, since some low bits of an untrained model's cache change no log-probability
	for _, precision := range precisions {
		random := rand.New(rand.NewPCG(seed, 0))
		f := &flipper{n: 17 + random.IntN(64), bit: 18 + random.IntN(5)} // a high bit of the mantissa
		if precision == backend.BF16 {
			f.bit += 6 // a low bit of the exponent, since later results are rounded to 8 bits
		}
		if d := difference(t, f, precision, nil); !(d > 0) {
			t.Errorf("seed %d, %s: difference %g after %s", seed, precision, d, f.what)
		}
		if f.what == "" {
			t.Errorf("seed %d, %s: no bit was flipped in %d writes", seed, precision, f.writes)
		}
	}
}

func TestFlippedBitOfARecordedLogProbIsNoticed(t *testing.T) {
	want := 0.0
	d := difference(t, &flipper{}, backend.F32, func(r *rl.Rollout) {
		if r.Step == 1 {
			lp := &r.Samples[9].LogProbs[0]
			flipped := float64(math.Float32frombits(math.Float32bits(float32(*lp)) ^ 1))
			want, *lp = math.Abs(flipped-*lp), flipped
		}
	})
	if want == 0 || d != want {
		t.Errorf("difference %g, want %g from the flipped bit", d, want)
	}
}
