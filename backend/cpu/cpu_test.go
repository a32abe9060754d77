package cpu

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend"
)

// withWorkers returns a backend with the given number of threads.
func withWorkers(t testing.TB, n int) *CPU {
	b := newCPU(n, nil)
	t.Cleanup(func() { b.Close() })
	return b
}

// filled returns a contiguous view that holds x.
func filled[T number | int32 | uint16 | uint8](b *CPU, x []T, shape ...int) backend.View {
	var t T
	dt := backend.F32
	switch any(t).(type) {
	case float64:
		dt = backend.F64
	case int32:
		dt = backend.I32
	case uint16:
		dt = backend.BF16
	case uint8:
		dt = backend.I8
	}
	buf, err := b.Alloc(len(x) * int(unsafe.Sizeof(t)))
	if err != nil {
		panic(err)
	}
	v := backend.NewView(buf, dt, shape...)
	copy(data[T](&v), x)
	return v
}

// content returns the elements of v in row-major order.
func content[T number | int32 | uint16](v backend.View) []T {
	x := data[T](&v)
	out := make([]T, 0, v.Len())
	var at [backend.MaxRank]int
	for range v.Len() {
		off := 0
		for d := range v.Rank {
			off += at[d] * v.Strides[d]
		}
		out = append(out, x[off])
		for d := v.Rank - 1; d >= 0; d-- {
			if at[d]++; at[d] < v.Shape[d] {
				break
			}
			at[d] = 0
		}
	}
	return out
}

// memory returns the bytes of a contiguous view.
func memory(v backend.View) []byte {
	size := v.DType.Size()
	return v.Buf.(*buffer).mem[v.Offset*size : (v.Offset+v.Len())*size]
}

func normals[T number](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

func newRand(t testing.TB) *rand.Rand {
	const seed = 20250120
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// sameBits fails unless got and want agree in every bit.
func sameBits[T number](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float64bits(float64(got[i])) != math.Float64bits(float64(want[i])) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func do(t testing.TB, b *CPU, op backend.Op) {
	t.Helper()
	if err := b.Do(op); err != nil {
		t.Fatal(err)
	}
}

// panics fails unless f panics with a message that contains each of want.
func panics(t *testing.T, f func(), want ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		r := recover()
		if r == nil {
			t.Fatalf("no panic, want one about %q", want)
		}
		for _, w := range want {
			if !strings.Contains(fmt.Sprint(r), w) {
				t.Errorf("panic %q does not mention %q", r, w)
			}
		}
	}()
	f()
}

// TestThreadsDoNotChangeBits runs ops that are large enough to be split.
func TestThreadsDoNotChangeBits(t *testing.T) {
	t.Run("F32", testThreads[float32])
	t.Run("F64", testThreads[float64])
}

func testThreads[T number](t *testing.T) {
	const n, d, e = 300, 130, 5
	// run executes ops on new operands and returns their results.
	cases := []struct {
		name string
		run  func(b *CPU, rng *rand.Rand) backend.View
	}{
		{"MatMul by rows", func(b *CPU, rng *rand.Rand) backend.View {
			a, w := filled(b, normals[T](rng, n*d), n, d), filled(b, normals[T](rng, d*d), d, d)
			c := filled(b, make([]T, n*d), n, d)
			do(t, b, &backend.MatMul{C: c, A: a, B: backend.MatrixOf(w)})
			return c
		}},
		{"MatMul by columns", func(b *CPU, rng *rand.Rand) backend.View {
			a, w := filled(b, normals[T](rng, d), 1, d), filled(b, normals[T](rng, d*5000), d, 5000)
			c := filled(b, make([]T, 5000), 1, 5000)
			do(t, b, &backend.MatMul{C: c, A: a, B: backend.MatrixOf(w)})
			return c
		}},
		{"MatMul batched", func(b *CPU, rng *rand.Rand) backend.View {
			a, w := filled(b, normals[T](rng, 2*3*40*d), 2, 3, 40, d), filled(b, normals[T](rng, 3*d*50), 3, d, 50)
			c := filled(b, make([]T, 2*3*40*50), 2, 3, 40, 50)
			do(t, b, &backend.MatMul{C: c, A: a, B: backend.MatrixOf(w.BroadcastTo(2, 3, d, 50))})
			return c
		}},
		{"GroupedMatMul", func(b *CPU, rng *rand.Rand) backend.View {
			a, w := filled(b, normals[T](rng, n*d), n, d), filled(b, normals[T](rng, e*d*d), e, d, d)
			c := filled(b, make([]T, n*d), n, d)
			do(t, b, &backend.GroupedMatMul{C: c, A: a, B: backend.MatrixOf(w), Offsets: filled(b, []int32{0, 7, 7, 150, 151,
				290}, e+1)})
			return c
		}},
		{"GroupedOuter", func(b *CPU, rng *rand.Rand) backend.View {
			a, w := filled(b, normals[T](rng, n*d), n, d), filled(b, normals[T](rng, n*90), n, 90)
			c := filled(b, normals[T](rng, e*d*90), e, d, 90)
			do(t, b, &backend.GroupedOuter{C: c, A: a, B: w, Offsets: filled(b, []int32{0, 7, 7, 150, 151, 290}, e+1)})
			return c
		}},
		{"Sum of a tensor", func(b *CPU, rng *rand.Rand) backend.View {
			y := filled(b, make([]T, 1))
			do(t, b, &backend.Reduce{Y: y, X: filled(b, normals[T](rng, 100_003), 100_003)})
			return y
		}},
		{"SumSquares of rows", func(b *CPU, rng *rand.Rand) backend.View {
			y := filled(b, make([]T, 60), 60)
			do(t, b, &backend.Reduce{Y: y, X: filled(b, normals[T](rng, 60*5000), 60, 5000), Fn: backend.SumSquares})
			return y
		}},
		{"Softmax", func(b *CPU, rng *rand.Rand) backend.View {
			x := filled(b, normals[T](rng, n*d), n, d)
			do(t, b, &backend.Softmax{Y: x, X: x})
			return x
		}},
		{"ScatterAdd", func(b *CPU, rng *rand.Rand) backend.View {
			ids := make([]int32, n)
			for i := range ids {
				ids[i] = int32(rng.IntN(8)) - 1
			}
			y := filled(b, make([]T, 7*d), 7, d)
			do(t, b, &backend.Scatter{Y: y, X: filled(b, normals[T](rng, n*d), n, d), Index: filled(b, ids, n), Add: true})
			return y
		}},
		{"Random", func(b *CPU, rng *rand.Rand) backend.View {
			y := filled(b, make([]T, 10_001), 10_001)
			do(t, b, &backend.Random{Dst: y, Seed: 1, Stream: 2, Distribution: backend.Normal})
			return y
		}},
		{"AdamW", func(b *CPU, rng *rand.Rand) backend.View {
			const n = 40_001
			w, g := filled(b, normals[T](rng, n), n), filled(b, normals[T](rng, n), n)
			m, v := filled(b, make([]T, n), n), filled(b, make([]T, n), n)
			do(t, b, &backend.AdamW{W: w, G: g, M: m, V: v, At: filled(b, []float64{3, 1, 1}, 3), LR: .1, Beta1: .9,
				Beta2: .99, Eps: 1e-8})
			return w
		}},
		{"Exp of a transpose", func(b *CPU, rng *rand.Rand) backend.View {
			y := filled(b, make([]T, n*d), n, d)
			do(t, b, &backend.Unary{Y: y, X: filled(b, normals[T](rng, n*d), d, n).T(), Fn: backend.Exp})
			return y
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := memory(c.run(withWorkers(t, 1), newRand(t)))
			for _, workers := range []int{2, 3} {
				if got := memory(c.run(withWorkers(t, workers), newRand(t))); !bytes.Equal(got, want) {
					t.Errorf("%d workers and one differ", workers)
				}
			}
		})
	}
}

func TestWorkerPanicReachesTheCallerAndThePoolSurvives(t *testing.T) {
	b := withWorkers(t, 2)
	const n = 4000
	ids := make([]int32, n)
	ids[n-1] = 10
	y, x := filled(b, make([]float32, n*64), n, 64), filled(b, make([]float32, 10*64), 10, 64)
	op := &backend.Gather{Y: y, X: x, Index: filled(b, ids, n)}
	panics(t, func() { b.Do(op) }, "Gather", "10")
	data[int32](&op.Index)[n-1] = 9
	do(t, b, op)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector, sync.Pool drops items at random")
	}
	b, rng := withWorkers(t, 2), newRand(t)
	const n, d = 400, 64
	x, w := filled(b, normals[float32](rng, n*d), n, d), filled(b, normals[float32](rng, d*d), d, d)
	y, s := filled(b, make([]float32, n*d), n, d), filled(b, make([]float32, 1))
	offsets := filled(b, []int32{0, 100, n}, 3)
	experts := filled(b, normals[float32](rng, 2*d*d), 2, d, d)
	flat, repeated := x.Reshape(n*d), s.BroadcastTo(n, d)
	few, wide := filled(b, normals[float32](rng, 20*d), 20, d), filled(b, normals[float32](rng, 3000*d), 3000, d)
	scores, weights := filled(b, make([]float32, 20*3000), 20, 3000), packed(t, b, w)
	ops := []func(){
		func() { b.matMul(&backend.MatMul{C: scores, A: few, B: backend.MatrixOf(wide.T())}) },
		func() { b.matMul(&backend.MatMul{C: y, A: x, B: weights}) },
		func() { b.matMul(&backend.MatMul{C: y, A: x, B: backend.MatrixOf(w.T())}) },
		func() {
			b.groupedMatMul(&backend.GroupedMatMul{C: y, A: x, B: backend.MatrixOf(experts), Offsets: offsets})
		},
		func() { b.groupedOuter(&backend.GroupedOuter{C: experts, A: x, B: y, Offsets: offsets}) },
		func() { b.reduce(&backend.Reduce{Y: s, X: flat, Fn: backend.SumSquares}) },
		func() { b.binary(&backend.Binary{Y: y, A: x, B: repeated, Fn: backend.Mul}) },
	}
	for i, op := range ops {
		// Building the op takes one allocation itself.
		if got := testing.AllocsPerRun(20, op); got > 1 {
			t.Errorf("op %d: %v allocations a run, want at most 1", i, got)
		}
	}
}

func TestWalkVisitsEveryElementOnceInOrder(t *testing.T) {
	b, rng := withWorkers(t, 1), newRand(t)
	for range 300 {
		rank := rng.IntN(backend.MaxRank + 1)
		shape := make([]int, rank)
		for i := range shape {
			shape[i] = 1 + rng.IntN(5)
		}
		if rank > 0 && rng.IntN(4) == 0 {
			shape[rng.IntN(rank)] = 700
		}
		total := 1
		for _, n := range shape {
			total *= n
		}
		x := make([]int32, total)
		for i := range x {
			x[i] = int32(i)
		}
		v := filled(b, x, shape...)
		u := v.Permute(rng.Perm(rank)...)
		shared := backend.NewView(v.Buf, v.DType).BroadcastTo(u.Dims()...)
		lo := rng.IntN(total + 1)
		hi := lo + rng.IntN(total-lo+1)
		var got []int32
		for it := newWalk(lo, hi, &shared, &u); it.next(); {
			if it.n < 1 || it.n > blockLen {
				t.Fatalf("run of %d elements", it.n)
			}
			for i := range it.n {
				got = append(got, x[it.off[1]+i*it.stride(1)])
				if at := it.off[0] + i*it.stride(0); at != 0 {
					t.Fatalf("%v: a broadcast scalar is read at %d", u, at)
				}
			}
		}
		if want := content[int32](u)[lo:hi]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v, elements %d to %d: got %v, want %v", u, lo, hi, got, want)
		}
	}
}
