package cuda_test

import (
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

// device is a backend under test. It makes random operands, the same for the
// same seed on every backend, and fails the test on any error.
type device struct {
	testing.TB
	backend.Backend
	rng *rand.Rand
}

// on opens the named backend.
func on(t testing.TB, name string, seed uint64) *device {
	return &device{t, backendtest.Open(t, name), newRand(seed)}
}

func newRand(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 1))
}

// emulatedDevice opens the emulated device with a seed that it logs.
func emulatedDevice(t testing.TB) *device {
	t.Helper()
	emulated(t)
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	return on(t, "cuda:0", seed)
}

func (d *device) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *device) do(ops ...backend.Op) {
	d.Helper()
	for _, op := range ops {
		d.must(d.Do(op))
	}
}

// operand returns a contiguous view of new memory with elements gen(i).
func (d *device) operand(dt backend.DType, gen func(i int) float64, shape ...int) backend.View {
	d.Helper()
	v := backend.NewView(nil, dt, shape...)
	mem := make([]byte, v.Len()*dt.Size())
	for i := range v.Len() {
		dt.Put(mem, i, gen(i))
	}
	buf, err := d.Alloc(len(mem))
	d.must(err)
	d.Cleanup(func() { d.Free(buf) })
	d.must(d.Upload(buf, 0, mem))
	v.Buf = buf
	return v
}

// normal returns an operand of normal random numbers.
func (d *device) normal(dt backend.DType, shape ...int) backend.View {
	return d.operand(dt, func(int) float64 { return d.rng.NormFloat64() }, shape...)
}

func (d *device) ints(x ...int) backend.View {
	return d.operand(backend.I32, func(i int) float64 { return float64(x[i]) }, len(x))
}

// bits returns the memory of a contiguous view.
func (d *device) bits(v backend.View) []byte {
	d.Helper()
	mem := make([]byte, v.Len()*v.DType.Size())
	d.must(d.Download(mem, v.Buf, v.Offset*v.DType.Size()))
	return mem
}

// values returns the elements of a contiguous view.
func (d *device) values(v backend.View) []float64 {
	d.Helper()
	mem, x := d.bits(v), make([]float64, v.Len())
	for i := range x {
		x[i] = v.DType.Get(mem, i)
	}
	return x
}
