package attention_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

func open(t testing.TB) backend.Backend {
	t.Helper()
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func floats(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	v, err := p.Floats()
	must(t, err)
	return v
}

// layer is an attention layer under test.
type layer interface {
	Forward(x tensor.Tensor, rows attention.Rows, cache *attention.Cache) tensor.Tensor
	NewCache(b backend.Backend, dt backend.DType, rows int) (*attention.Cache, error)
}

const maxPositions = 512

// params returns an empty set of parameters. It initializes matrices with a standard
// deviation large enough to make the attention far from uniform.
func params(t testing.TB, b backend.Backend, dt backend.DType) *tensor.Params {
	ps := tensor.NewParams(b, tensor.Init{Seed: 3, Std: 0.4, DType: dt})
	t.Cleanup(ps.Free)
	return ps
}

// scatterGains adds noise to gains, which start at 1, and to biases, which start at 0.
func scatterGains(t testing.TB, ps *tensor.Params) {
	t.Helper()
	must(t, ps.Err())
	rng := rand.New(rand.NewPCG(11, 0))
	for _, p := range ps.All() {
		if len(p.Shape()) != 1 {
			continue
		}
		v := floats(t, p)
		for i := range v {
			v[i] += 0.5 * rng.NormFloat64()
		}
		must(t, p.SetFloats(v))
	}
}

func angles(t testing.TB, b backend.Backend, dt backend.DType, dim int, sc attention.RoPEScaling) tensor.Angles {
	t.Helper()
	a, err := attention.NewAngles(b, dt, maxPositions, dim, 10000, sc)
	must(t, err)
	t.Cleanup(func() { a.Cos.Free(); a.Sin.Free() })
	return a
}

// normals returns n normally distributed values that F32 represents exactly, so that F32
// and F64 get the same inputs.
func normals(seed uint64, n int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(float32(rng.NormFloat64()))
	}
	return x
}

// packed runs l over packed sequences of the given lengths, x [Σ lengths, D], without a
// cache.
func packed(t testing.TB, b backend.Backend, dt backend.DType, l layer, x []float64, lengths []int,
	grad bool) []float64 {
	t.Helper()
	s := tensor.NewScope(b, tensor.Options{Grad: grad})
	defer s.Close()
	rows := attention.Pack(s, lengths)
	n := rows.Pos.Len()
	out, err := l.Forward(s.Floats(dt, x, n, len(x)/n), rows, nil).Values()
	must(t, err)
	return out
}

// matVec is W·x for W [out, in].
func matVec(w, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for i := range y {
		for j, v := range x {
			y[i] += w[i*len(x)+j] * v
		}
	}
	return y
}

func plus(a, b []float64) []float64 {
	c := make([]float64, len(a))
	for i := range c {
		c[i] = a[i] + b[i]
	}
	return c
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func rmsNorm(x, gain []float64, eps float64) []float64 {
	r := math.Sqrt(dot(x, x)/float64(len(x)) + eps)
	y := make([]float64, len(x))
	for i := range y {
		y[i] = gain[i] * x[i] / r
	}
	return y
}

// rotate applies RoPE to one head at a position: it turns pair i by the angle pos·freq[i].
func rotate(x []float64, pos int, freq []float64, interleaved bool) []float64 {
	y := make([]float64, len(x))
	for i, f := range freq {
		a, b := i, i+len(freq)
		if interleaved {
			a, b = 2*i, 2*i+1
		}
		z := complex(x[a], x[b]) * complex(math.Cos(float64(pos)*f), math.Sin(float64(pos)*f))
		y[a], y[b] = real(z), imag(z)
	}
	return y
}

// attend is softmax(scale·q·K)·V over all the given keys.
func attend(q []float64, keys, values [][]float64, scale float64) []float64 {
	p := make([]float64, len(keys))
	most := math.Inf(-1)
	for j, k := range keys {
		p[j] = scale * dot(q, k)
		most = max(most, p[j])
	}
	sum := 0.0
	for j := range p {
		p[j] = math.Exp(p[j] - most)
		sum += p[j]
	}
	o := make([]float64, len(values[0]))
	for j, v := range values {
		for i := range o {
			o[i] += p[j] / sum * v[i]
		}
	}
	return o
}

// each splits x [Σ lengths, D] into sequences, calls fn with each, and joins the results.
func each(x []float64, lengths []int, fn func(seq [][]float64) [][]float64) []float64 {
	total := 0
	for _, n := range lengths {
		total += n
	}
	d := len(x) / total
	var out []float64
	for _, n := range lengths {
		seq := make([][]float64, n)
		for i := range seq {
			seq[i], x = x[:d], x[d:]
		}
		for _, y := range fn(seq) {
			out = append(out, y...)
		}
	}
	return out
}

// closeTo fails unless ‖got−want‖ ≤ tolerance·‖want‖.
func closeTo(t testing.TB, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	var diff, norm float64
	for i := range got {
		diff += (got[i] - want[i]) * (got[i] - want[i])
		norm += want[i] * want[i]
	}
	if e := math.Sqrt(diff / norm); !(e <= tolerance) {
		t.Errorf("%s: relative error %.2e > %.0e", what, e, tolerance)
	}
}

// sameBits fails unless got and want are bitwise equal; width is the row length.
func sameBits(t testing.TB, what string, got, want []float64, width int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("%s: row %d column %d is %v, want the same bits as %v", what, i/width, i%width, got[i], want[i])
		}
	}
}
