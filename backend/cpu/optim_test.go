package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestAdamWFollowsTheTextbook(t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const n, lr, beta1, beta2, eps, decay, scale = 70_001, .01, .9, .95, 1e-8, .1, .5
	w0, g := normals[float64](rng, n), normals[float64](rng, n)
	single := func(x []float64) []float32 {
		y := make([]float32, len(x))
		for i, v := range x {
			y[i] = float32(v)
		}
		return y
	}
	w, m, v := append([]float64(nil), w0...), make([]float64, n), make([]float64, n)
	w64, m64, v64 := filled(b, w0, n), filled(b, m, n), filled(b, v, n)
	w32, m32, v32 := filled(b, single(w0), n), filled(b, make([]float32, n), n), filled(b, make([]float32, n), n)
	w16, m16, v16 := filled(b, single(w0), n), filled(b, make([]uint16, n), n), filled(b, make([]uint16, n), n)
	g64, g32 := filled(b, g, n), filled(b, single(g), n)
	for step := 1; step <= 3; step++ {
		at := filled(b, []float64{float64(step), 1, scale}, 3)
		op := backend.AdamW{At: at, LR: lr, Beta1: beta1, Beta2: beta2, Eps: eps, WeightDecay: decay}
		op.W, op.G, op.M, op.V = w64, g64, m64, v64
		do(t, b, &op)
		op.W, op.G, op.M, op.V = w32, g32, m32, v32
		do(t, b, &op)
		op.W, op.G, op.M, op.V = w16, g32, m16, v16
		do(t, b, &op)
		for i := range w {
			d := g[i] * scale
			m[i] = beta1*m[i] + (1-beta1)*d
			v[i] = beta2*v[i] + (1-beta2)*d*d
			mHat := m[i] / (1 - math.Pow(beta1, float64(step)))
			vHat := v[i] / (1 - math.Pow(beta2, float64(step)))
			w[i] -= lr * (mHat/(math.Sqrt(vHat)+eps) + decay*w[i])
		}
	}
	for i := range w {
		for _, c := range []struct {
			name      string
			got       float64
			tolerance float64
		}{
			{"F64", content1[float64](w64, i), 1e-14},
			{"F32", float64(content1[float32](w32, i)), 1e-6},
			{"F32 with BF16 moments", float64(content1[float32](w16, i)), 3 * lr * 0x1p-6},
		} {
			if math.Abs(c.got-w[i]) > c.tolerance*(1+math.Abs(w[i])) {
				t.Fatalf("%s: weight %d is %v, want %v", c.name, i, c.got, w[i])
			}
		}
	}
}

func content1[T number](v backend.View, i int) T { return data[T](&v)[i] }

func TestAdamWWithGradScaleZeroOnlyDecays(t *testing.T) {
	b := withWorkers(t, 1)
	w := filled(b, []float32{2, -4}, 2)
	m, v := filled(b, make([]float32, 2), 2), filled(b, make([]float32, 2), 2)
	at := filled(b, []float64{1, 1, 0}, 3)
	do(t, b, &backend.AdamW{W: w, G: filled(b, []float32{5, 5}, 2), M: m, V: v, At: at, LR: .5, Beta1: .9, Beta2: .9,
		Eps: 1, WeightDecay: .5})
	sameBits(t, "weights", content[float32](w), []float32{1.5, -3})
}

// A recorded step is replayed with another learning rate, step number and
// gradient scale.
func TestAdamWReadsWhatChangesFromItsBuffer(t *testing.T) {
	const n = 100
	b := withWorkers(t, 1)
	w0 := normals[float32](rand.New(rand.NewPCG(3, 0)), n)
	g := filled(b, normals[float32](rand.New(rand.NewPCG(4, 0)), n), n)
	at := filled(b, make([]float64, 3), 3)
	op := func() backend.AdamW {
		zeros := make([]float32, n)
		return backend.AdamW{
			W: filled(b, w0, n), G: g, M: filled(b, zeros, n), V: filled(b, zeros, n),
			At: at, LR: 0.1, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1,
		}
	}
	recorded, direct := op(), op()
	program, err := backend.Record(b, func(b backend.Backend) error { return b.Do(&recorded) })
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range [][]float64{{1, 0.5, 1}, {2, 1, 0.25}, {3, 0.1, 2}} {
		copy(data[float64](&at), step)
		if err := program.Run(); err != nil {
			t.Fatal(err)
		}
		do(t, b, &direct)
	}
	sameBits(t, "weights", content[float32](recorded.W), content[float32](direct.W))
	once := op()
	do(t, b, &once)
	if content[float32](once.W)[0] == content[float32](recorded.W)[0] {
		t.Error("three steps gave the same weights as one")
	}
}

func TestAdamWRefusesAStepBelowOne(t *testing.T) {
	b := withWorkers(t, 2)
	at := filled(b, []float64{0, 1, 1}, 3)
	for _, x := range []backend.View{filled(b, make([]float32, 5), 5), filled(b, make([]float64, 5), 5)} {
		panics(t, func() { b.Do(&backend.AdamW{W: x, G: x, M: x, V: x, At: at}) }, "AdamW", "step 0, want 1 or more")
	}
}
