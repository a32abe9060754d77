//go:build linux && amd64

package emu

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
)

const convertSource = `
#include "types.cuh"
#define CONVERT(T) \
	extern "C" __global__ void widen_##T(const T *x, float *y, int n) { \
		int i = blockIdx.x * blockDim.x + threadIdx.x; \
		if (i < n) y[i] = to_f32(x[i]); \
	} \
	extern "C" __global__ void round_##T(const float *x, T *y, int n) { \
		int i = blockIdx.x * blockDim.x + threadIdx.x; \
		if (i < n) y[i] = from_f32<T>(x[i]); \
	}
CONVERT(bf16)
CONVERT(f16)
CONVERT(e4m3)
CONVERT(e5m2)
CONVERT(float)
`

// storage maps the names of element types to the floating-point dtypes smaller
// than F32.
var storage = map[string]backend.DType{
	"bf16": backend.BF16, "f16": backend.F16, "e4m3": backend.E4M3, "e5m2": backend.E5M2,
}

// same reports whether two numbers are equal, including the sign of zero, or
// both NaN.
func same(x, y float64) bool {
	return x != x && y != y || x == y && math.Signbit(x) == math.Signbit(y)
}

func TestConversionsEqualTheBackends(t *testing.T) {
	e := open(t)
	m := e.module(convertSource)
	for name, dt := range storage {
		size := dt.Size()
		codes := 1 << (8 * size)
		all := make([]byte, codes*size)
		for i := range codes {
			if size == 1 {
				all[i] = byte(i)
			} else {
				binary.LittleEndian.PutUint16(all[2*i:], uint16(i))
			}
		}
		y := e.alloc(4 * codes)
		e.launch(e.function(m, "widen_"+name), dims{(codes + 255) / 256}, dims{256}, 0, upload(e, all), y, codes)
		values := download[float32](e, y, codes)
		for i, v := range values {
			if want := dt.Get(all, i); !same(float64(v), want) {
				t.Fatalf("%s: code %#x is %v, want %v", name, i, v, want)
			}
		}

		// Every value, the midpoint to the next value and their neighbours,
		// then random bits.
		var x []float32
		for i, v := range values {
			next := values[(i+1)%codes]
			for _, f := range []float32{v, v/2 + next/2} {
				x = append(x, f, math.Nextafter32(f, float32(math.Inf(1))), math.Nextafter32(f, float32(math.Inf(-1))))
			}
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		for range 100000 {
			x = append(x, math.Float32frombits(random.Uint32()), float32(random.NormFloat64()))
		}
		x = append(x, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32)
		z := e.alloc(len(x) * size)
		e.launch(e.function(m, "round_"+name), dims{(len(x) + 255) / 256}, dims{256}, 0, upload(e, x), z, len(x))
		got, want := download[byte](e, z, len(x)*size), make([]byte, 8)
		for i, f := range x {
			dt.Put(want, 0, float64(f))
			g := got[i*size : (i+1)*size]
			if f != f {
				if v := dt.Get(g, 0); v == v {
					t.Fatalf("%s: NaN %#x becomes %v", name, math.Float32bits(f), v)
				}
			} else if string(g) != string(want[:size]) {
				t.Fatalf("%s: %v (%#x) becomes %x, want %x", name, f, math.Float32bits(f), g, want[:size])
			}
		}
	}
}

const mmaSource = `
#include "types.cuh"
// c[16][8] += a[16][16]·b[16][8]. ldmatrix loads the operand a of mma.sync.
extern "C" __global__ void product(const bf16 *a, const bf16 *b, float *c) {
	__shared__ __align__(16) bf16 tile[16][24];
	for (int i = threadIdx.x; i < 256; i += 32) tile[i / 16][i % 16] = a[i];
	__syncthreads();
	int lane = threadIdx.x, g = lane / 4, t = lane % 4;
	unsigned x[4], y[2];
	ldmatrix_x4(x, &tile[lane % 16][lane / 16 * 8]);
	for (int r = 0; r < 2; r++) {
		int k = 2 * t + 8 * r;
		y[r] = b[k * 8 + g].bits | unsigned(b[(k + 1) * 8 + g].bits) << 16;
	}
	float sum[4];
	for (int r = 0; r < 4; r++) sum[r] = c[(g + 8 * (r / 2)) * 8 + 2 * t + r % 2];
	mma_bf16(sum, x, y);
	for (int r = 0; r < 4; r++) c[(g + 8 * (r / 2)) * 8 + 2 * t + r % 2] = sum[r];
}
`

func TestTensorCoreProductOfBF16(t *testing.T) {
	for _, check := range []string{"0", "1"} {
		e := open(t, "AHA_EMU_CHECK="+check, "AHA_EMU_SCHEDULE=random:4")
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		fill := func(n int) ([]uint16, []float64) {
			bits, x := make([]uint16, n), make([]float64, n)
			for i := range bits {
				bits[i] = uint16(math.Float32bits(float32(random.NormFloat64())) >> 16)
				x[i] = float64(math.Float32frombits(uint32(bits[i]) << 16))
			}
			return bits, x
		}
		a, af := fill(256)
		b, bf := fill(128)
		c := make([]float32, 128)
		for i := range c {
			c[i] = random.Float32()
		}
		at := upload(e, c)
		e.launch(e.kernel(mmaSource, "product"), dims{1}, dims{32}, 0, upload(e, a), upload(e, b), at)
		for i, v := range download[float32](e, at, 128) {
			want := float64(c[i])
			for k := range 16 {
				want += af[i/8*16+k] * bf[k*8+i%8]
			}
			if math.Abs(float64(v)-want) > 1e-5 {
				t.Errorf("check %s: element %d,%d is %v, want %v", check, i/8, i%8, v, want)
			}
		}
	}
}
