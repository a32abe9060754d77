//go:build linux && amd64

package emu

import (
	"math"
	"os"
	"strings"
	"testing"
)

const addSource = `
extern "C" __global__ void add(const float *x, const float *y, float *__restrict__ z, int n) {
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < n) z[i] = x[i] + y[i];
}
`

func TestVectorAddUnderAllSchedules(t *testing.T) {
	for _, schedule := range schedules {
		for _, check := range []string{"0", "1"} {
			t.Run(schedule+",check="+check, func(t *testing.T) {
				e := open(t, "AHA_EMU_SCHEDULE="+schedule, "AHA_EMU_CHECK="+check)
				const n = 1000
				x, y := make([]float32, n), make([]float32, n)
				for i := range x {
					x[i], y[i] = float32(i), float32(2*i)
				}
				z := e.alloc(4 * n)
				e.launch(e.kernel(addSource, "add"), dims{8}, dims{128}, 0, upload(e, x), upload(e, y), z, n)
				for i, v := range download[float32](e, z, n) {
					if v != float32(3*i) {
						t.Fatalf("element %d is %v", i, v)
					}
				}
			})
		}
	}
}

// sumSource adds up each block with shuffles and shared memory.
const sumSource = `
static __device__ __forceinline__ float warp_sum(float v) {
	#pragma unroll
	for (int d = 16; d > 0; d >>= 1) v = __fadd_rn(v, __shfl_xor_sync(0xffffffffu, v, d));
	return v;
}

extern "C" __global__ void __launch_bounds__(256) sum(const float *x, float *out, int n) {
	__shared__ float warps[8];
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	float v = warp_sum(i < n ? x[i] : 0.0f);
	if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
	__syncthreads();
	if (threadIdx.x < 32) {
		v = warp_sum(threadIdx.x < blockDim.x / 32 ? warps[threadIdx.x] : 0.0f);
		if (threadIdx.x == 0) out[blockIdx.x] = v;
	}
}
`

func TestBlockReductionUnderAllSchedules(t *testing.T) {
	for _, schedule := range schedules {
		for _, check := range []string{"0", "1"} {
			t.Run(schedule+",check="+check, func(t *testing.T) {
				e := open(t, "AHA_EMU_SCHEDULE="+schedule, "AHA_EMU_CHECK="+check)
				x := make([]float32, 1000)
				for i := range x {
					x[i] = float32(i)
				}
				out := e.alloc(16)
				e.launch(e.kernel(sumSource, "sum"), dims{4}, dims{256}, 0, upload(e, x), out, len(x))
				var total float32
				for _, v := range download[float32](e, out, 4) {
					total += v
				}
				if total != 499500 {
					t.Fatalf("sum %v, want 499500", total)
				}
			})
		}
	}
}

func TestDynamicSharedMemoryReversesABlock(t *testing.T) {
	for _, check := range []string{"0", "1"} {
		e := open(t, "AHA_EMU_CHECK="+check)
		f := e.kernel(`
extern "C" __global__ void reverse(float *x) {
	extern __shared__ __align__(16) float buffer[];
	buffer[threadIdx.x] = x[threadIdx.x];
	__syncthreads();
	x[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x];
}
`, "reverse")
		x := []float32{0, 1, 2, 3, 4, 5, 6, 7}
		at := upload(e, x)
		e.launch(f, dims{1}, dims{8}, 32, at)
		for i, v := range download[float32](e, at, 8) {
			if v != float32(7-i) {
				t.Fatalf("element %d is %v", i, v)
			}
		}
		// More than 48 KiB require the attribute.
		if code := e.tryLaunch(f, e.stream, dims{1}, dims{8}, 60000, at); code != invalidValue {
			t.Errorf("60000 bytes without the attribute: code %d", code)
		}
		e.must("cuFuncSetAttribute", f, attributeShared, 60000)
		e.launch(f, dims{1}, dims{8}, 60000, at)
		e.must("cuStreamSynchronize", e.stream)
		e.want(invalidValue, "cuFuncSetAttribute", f, attributeShared, 200000)
	}
}

func TestGridAndBlockOfThreeDimensions(t *testing.T) {
	e := open(t)
	f := e.kernel(`
extern "C" __global__ void place(int *out) {
	int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
	int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
	out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}
`, "place")
	const blocks, threads = 2 * 3 * 4, 5 * 2 * 3
	out := e.alloc(4 * blocks * threads)
	e.launch(f, dims{2, 3, 4}, dims{5, 2, 3}, 0, out)
	for i, v := range download[int32](e, out, blocks*threads) {
		if want := i/threads*1000 + i%threads; int(v) != want {
			t.Fatalf("element %d is %d, want %d", i, v, want)
		}
	}
}

func TestWarpOperationsAsDocumented(t *testing.T) {
	e := open(t, "AHA_EMU_SCHEDULE=random:5", "AHA_EMU_CHECK=1")
	f := e.kernel(`
extern "C" __global__ void ops(int *out) {
	int lane = threadIdx.x, *o = out + lane * 16;
	o[0] = __shfl_sync(0xffffffffu, lane * 10, 5);
	o[1] = __shfl_sync(0xffffffffu, lane * 10, 3, 8);
	o[2] = __shfl_up_sync(0xffffffffu, lane, 2, 16);
	o[3] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
	o[4] = __shfl_xor_sync(0xffffffffu, lane, 9);
	o[5] = __ballot_sync(0xffffffffu, lane % 3 == 0);
	o[6] = __any_sync(0xffffffffu, lane == 31) * 2 + __all_sync(0xffffffffu, lane < 31);
	o[7] = __activemask();
	if (lane < 16) o[8] = __reduce_add_sync(0xffffu, lane); // half of a warp
	else o[8] = __shfl_xor_sync(0xffff0000u, lane, 1);
	o[9] = __match_any_sync(0xffffffffu, lane % 4);
	o[10] = __popc(lane) * 10000 + __ffs(lane) * 100 + __clz(lane);
	o[11] = __syncthreads_count(lane & 1);
}
`, "ops")
	out := e.alloc(4 * 16 * 32)
	e.launch(f, dims{1}, dims{32}, 0, out)
	got := download[int32](e, out, 16*32)
	popc := func(x int) (n int) {
		for ; x > 0; x &= x - 1 {
			n++
		}
		return n
	}
	for lane := range 32 {
		up, down := lane, lane
		if lane%16 >= 2 {
			up = lane - 2
		}
		if lane%8 < 5 {
			down = lane + 3
		}
		half := 120
		if lane >= 16 {
			half = lane ^ 1
		}
		ffs, clz := 0, 32
		for i := range 32 {
			if lane>>i&1 == 1 {
				clz = 31 - i
				if ffs == 0 {
					ffs = i + 1
				}
			}
		}
		want := []int32{50, int32(lane&^7+3) * 10, int32(up), int32(down), int32(lane ^ 9), 0x49249249, 2, -1, int32(half),
			0x11111111 << (lane % 4), int32(popc(lane)*10000 + ffs*100 + clz), 16}
		if lane%4 == 3 {
			want[9] = -0x77777778
		}
		for i, w := range want {
			if g := got[lane*16+i]; g != w {
				t.Errorf("lane %d, operation %d: %d, want %d", lane, i, g, w)
			}
		}
	}
}

func TestIntegerAtomicsCountAllThreads(t *testing.T) {
	for _, check := range []string{"0", "1"} {
		e := open(t, "AHA_EMU_CHECK="+check, "AHA_EMU_SCHEDULE=random:9")
		f := e.kernel(`
extern "C" __global__ void count(unsigned *counters) {
	unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
	atomicAdd(&counters[0], 1u);
	atomicMax(&counters[1], i);
	unsigned seen;
	do {
		seen = atomicAdd(&counters[2], 0u);
	} while (atomicCAS(&counters[2], seen, seen + 2) != seen);
}
`, "count")
		e.must("cuStreamSynchronize", e.stream)
		at := upload(e, []uint32{0, 0, 0})
		e.launch(f, dims{5}, dims{96}, 0, at)
		if got := download[uint32](e, at, 3); got[0] != 480 || got[1] != 479 || got[2] != 960 {
			t.Errorf("counters %v", got)
		}
	}
}

func TestTheLogNamesTheFilesLine(t *testing.T) {
	e := open(t)
	_, log, code := e.compile("\nextern \"C\" __global__ void f(float *x) {\n\tx[0] = y;\n}\n")
	if code != nvrtcCompile || !strings.Contains(log, "test.cu:3") || !strings.Contains(log, "y") {
		t.Errorf("code %d, log %q", code, log)
	}
	for source, want := range map[string]string{
		"__global__ void f() {}":                                         "extern \"C\"",
		"\n__shared__ float x[3];":                                       "test.cu:2: error: __shared__ outside a function",
		"template<class T> __global__ void f(T x) {}":                    "template",
		"#include <cuda_fp16.h>":                                         "cuda_fp16.h",
		`extern "C" __global__ void f(float *x) { atomicAdd(x, 1.0f); }`: "atomicAdd",
	} {
		if _, log, code := e.compile(source); code != nvrtcCompile || !strings.Contains(log, want) {
			t.Errorf("%s: code %d, log %q, want %q in it", source, code, log, want)
		}
	}
	if _, log, code := e.compile(addSource, "--fast"); code != nvrtcBadOption || !strings.Contains(log, "--fast") {
		t.Errorf("an unknown option: code %d, log %q", code, log)
	}
}

func TestKernelsFromMacrosAndGatesAreFound(t *testing.T) {
	e := open(t)
	m := e.module(`
#include "types.cuh"
namespace detail {
template <class T> __device__ T twice(T x) { return x + x; }
}
#define TWICE(NAME, T) \
	extern "C" __global__ void NAME(T *x) { x[threadIdx.x] = detail::twice<T>(x[threadIdx.x]); }
TWICE(twice_f32, float)
TWICE(twice_i32, int)
#if __CUDA_ARCH__ >= 900
TWICE(newer, float)
#endif
#ifdef FACTOR
extern "C" { __global__ void times(float *x) { x[0] *= FACTOR; } }
#endif
`, "-DFACTOR=3")
	for name, want := range map[string]float32{"twice_f32": 4, "times": 6} {
		at := upload(e, []float32{2})
		e.launch(e.function(m, name), dims{1}, dims{1}, 0, at)
		if got := download[float32](e, at, 1)[0]; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	at := upload(e, []int32{21})
	e.launch(e.function(m, "twice_i32"), dims{1}, dims{1}, 0, at)
	if got := download[int32](e, at, 1)[0]; got != 42 {
		t.Errorf("twice_i32: %d", got)
	}
	var f uintptr
	e.want(notFound, "cuModuleGetFunction", &f, m, cstring("newer"))
}

func TestFusedAndSeparateRoundingsAreWhatTheKernelSays(t *testing.T) {
	e := open(t)
	f := e.kernel(`
extern "C" __global__ void f(const float *x, float *out) {
	out[0] = x[0] * x[1] + x[2];
	out[1] = __fmaf_rn(x[0], x[1], x[2]);
}
`, "f")
	x := []float32{1 + 0x1p-12, 1 + 0x1p-12, -1}
	out := e.alloc(8)
	e.launch(f, dims{1}, dims{1}, 0, upload(e, x), out)
	got := download[float32](e, out, 2)
	fused := float32(math.FMA(float64(x[0]), float64(x[1]), float64(x[2])))
	if separate := float32(x[0]*x[1]) + x[2]; got[0] != separate || got[1] != fused || fused == separate {
		t.Errorf("%v, want %v and %v", got, separate, fused)
	}
}

func TestSharedMemoryIsCountedByKernel(t *testing.T) {
	e := open(t)
	m := e.module(`
#define KEEP(NAME, N) \
	extern "C" __global__ void NAME(float *x) { \
		__shared__ float tile[N]; \
		tile[threadIdx.x] = 1; \
		__syncthreads(); \
		x[0] = tile[5]; \
	}
KEEP(a, 100)
KEEP(b, 200)
`)
	for name, want := range map[string]int32{"a": 400, "b": 800} {
		var size int32
		e.must("cuFuncGetAttribute", &size, 1, e.function(m, name))
		if size != want {
			t.Errorf("%s has %d bytes of shared memory, want %d", name, size, want)
		}
	}
}

// testdata/builtins.cu also compiles with NVRTC 13.5 for sm_80, so that kernels
// cannot come to depend on functions that only the emulator has.
func TestBuiltInFunctionsCompile(t *testing.T) {
	source, err := os.ReadFile("testdata/builtins.cu")
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []string{"0", "1"} {
		e := open(t, "AHA_EMU_CHECK="+check)
		if _, log, code := e.compile(string(source)); code != success {
			t.Errorf("check %s: code %d\n%s", check, code, log)
		}
	}
}
