//go:build linux && amd64

package emu

import (
	"fmt"
	"strings"
	"testing"
)

// A plant is a kernel that has a bug if the macro BUG is defined. It computes
// out[0..n) from x[0..n), where n = 64 and x[i] = i+1. want is the result
// without the bug.
type plant struct {
	name, source string
	shared       int
	want         func(i int) float32
	// report is part of check mode's message under the schedule fifo.
	report string
}

var plants = []plant{{
	name: "missing __syncthreads",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	__shared__ float tile[64];
	tile[threadIdx.x] = x[threadIdx.x];
#ifndef BUG
	__syncthreads();
#endif
	out[threadIdx.x] = tile[63 - threadIdx.x];
}`,
	want:   func(i int) float32 { return float32(64 - i) },
	report: "test.cu:8: reads what nobody has written (byte 252 of planted::tile)",
}, {
	name: "missing __syncthreads before the second use",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	__shared__ float tile[64];
	tile[threadIdx.x] = x[threadIdx.x];
	__syncthreads();
	float v = tile[63 - threadIdx.x];
#ifndef BUG
	__syncthreads();
#endif
	tile[threadIdx.x] = 2 * v;
	__syncthreads();
	out[threadIdx.x] = tile[threadIdx.x];
}`,
	want:   func(i int) float32 { return float32(2 * (64 - i)) },
	report: "test.cu:6: race: reads what thread (31,0,0) wrote since the last barrier (byte 124 of planted::tile)",
}, {
	name: "off-by-one read",
	source: `
#ifdef BUG
#define LAST 1
#else
#define LAST 0
#endif
extern "C" __global__ void planted(const float *x, float *out) {
	int i = threadIdx.x, next = i + 1 < 64 + LAST ? i + 1 : 0;
	out[i] = 2 * x[i] + 0 * x[next];
}`,
	want:   func(i int) float32 { return float32(2 * (i + 1)) },
	report: "test.cu:9: reads 4 bytes 0 bytes after the end of the allocation",
}, {
	name: "off-by-one read of shared memory",
	source: `
#ifdef BUG
#define ROWS 9
#else
#define ROWS 8
#endif
extern "C" __global__ void planted(const float *x, float *out) {
	__shared__ float tile[8][8];
	int i = threadIdx.x / 8, j = threadIdx.x % 8;
	tile[i][j] = x[threadIdx.x];
	__syncthreads();
	float most = 0;
	for (int k = 0; k < ROWS; k++) most = fmaxf(most, tile[i][k]);
	out[threadIdx.x] = most;
}`,
	want:   func(i int) float32 { return float32(i/8*8 + 8) },
	report: "test.cu:13: index outside the array",
}, {
	name: "wrong shuffle mask",
	source: `
#ifdef BUG
#define MASK 0x0000ffffu
#else
#define MASK 0xffffffffu
#endif
extern "C" __global__ void planted(const float *x, float *out) {
	float v = x[threadIdx.x];
	for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(MASK, v, d);
	out[threadIdx.x] = v;
}`,
	want:   func(i int) float32 { return float32(528 + i/32*1024) },
	report: "test.cu:9: a shuffle reads a lane that does not take part",
}, {
	name: "full mask within a branch",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	int n = 48; // the second warp has 16 elements
	float v = x[threadIdx.x];
#ifdef BUG
	if (threadIdx.x < n) v += __shfl_xor_sync(0xffffffffu, v, 1);
#else
	float w = __shfl_xor_sync(0xffffffffu, v, 1);
	if (threadIdx.x < n) v += w;
#endif
	__syncthreads();
	out[threadIdx.x] = v;
}`,
	want: func(i int) float32 {
		if i < 48 {
			return float32(i + 1 + (i ^ 1) + 1)
		}
		return float32(i + 1)
	},
	report: "16 wait at __shfl_xor_sync (test.cu:6)",
}, {
	name: "uninitialised shared read",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	extern __shared__ float sums[];
#ifdef BUG
	if (threadIdx.x < 7)
#else
	if (threadIdx.x < 8)
#endif
		sums[threadIdx.x] = 0;
	__syncthreads();
	if (threadIdx.x % 8 == 0) {
		float *sum = &sums[threadIdx.x / 8];
		for (int k = 0; k < 8; k++) *sum += x[threadIdx.x + k];
	}
	__syncthreads();
	out[threadIdx.x] = sums[threadIdx.x / 8];
}`,
	shared: 32,
	want:   func(i int) float32 { return float32(8*(i/8*8) + 36) },
	report: "test.cu:13: reads what nobody has written (byte 28 of dynamic shared memory)",
}, {
	name: "missing __syncwarp",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	__shared__ float tile[64];
	tile[threadIdx.x] = x[threadIdx.x];
#ifndef BUG
	__syncwarp();
#endif
	out[threadIdx.x] = tile[threadIdx.x ^ 1];
}`,
	want:   func(i int) float32 { return float32((i ^ 1) + 1) },
	report: "test.cu:8: reads what nobody has written",
}, {
	name: "barrier that some threads skip",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	out[threadIdx.x] = x[threadIdx.x];
#ifdef BUG
	if (threadIdx.x >= 60) return;
#endif
	__syncthreads();
}`,
	want:   func(i int) float32 { return float32(i + 1) },
	report: "the 64 threads of the block part: 60 wait at __syncthreads (test.cu:7), 4 have exited",
}, {
	name: "different barriers",
	source: `
extern "C" __global__ void planted(const float *x, float *out) {
	out[threadIdx.x] = x[threadIdx.x];
#ifdef BUG
	if (threadIdx.x >= 32)
		__syncthreads();
	else
#endif
		__syncthreads();
}`,
	want:   func(i int) float32 { return float32(i + 1) },
	report: "while other threads of the block wait at __syncthreads (test.cu:",
}, {
	name: "vector access that is not aligned",
	source: `
#ifdef BUG
#define SHIFT 1
#else
#define SHIFT 0
#endif
extern "C" __global__ void planted(const float *x, float *out) {
	out[threadIdx.x] = x[threadIdx.x];
	__syncthreads();
	if (threadIdx.x < 15) {
		float4 v = *(const float4 *)(x + 4 * threadIdx.x + SHIFT);
		*(float4 *)(out + 4 * threadIdx.x + SHIFT) = v;
	}
}`,
	want:   func(i int) float32 { return float32(i + 1) },
	report: "misaligned address",
}}

// Without a wait for the first stream's event, the second stream's kernel reads
// data that is not there yet.
func TestAMissingCrossStreamEventIsCaught(t *testing.T) {
	for _, schedule := range schedules {
		for _, check := range []string{"0", "1"} {
			for _, bug := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s,check=%s,bug=%v", schedule, check, bug), func(t *testing.T) {
					e := open(t, "AHA_EMU_SCHEDULE="+schedule, "AHA_EMU_CHECK="+check)
					f := e.kernel(addSource, "add")
					var other, event uintptr
					e.must("cuStreamCreate", &other, 1)
					e.must("cuEventCreate", &event, 2)
					const n = 100
					x := upload(e, make([]float32, n))
					y, z := e.alloc(4*n), e.alloc(4*n)
					e.launch(f, dims{1}, dims{n}, 0, x, x, y, n)
					e.must("cuEventRecord", event, e.stream)
					if !bug {
						e.must("cuStreamWaitEvent", other, event, 0)
					}
					if code := e.tryLaunch(f, other, dims{1}, dims{n}, 0, y, y, z, n); code != success {
						t.Fatal(code)
					}
					code := e.call("cuStreamSynchronize", other)
					switch {
					case !bug && code != success:
						t.Fatalf("with the event: code %d: %s", code, e.text(code))
					case check == "1" && bug:
						e.expect(code, launchFailed, "test.cu:4: reads what nobody has written")
						return
					}
					got := download[float32](e, z, n)
					if wrong := got[n-1] != 0; wrong != bug {
						t.Errorf("with bug %v: last element %v", bug, got[n-1])
					}
				})
			}
		}
	}
}

// Even if the order happens to be right, check mode reports that nothing
// ensures it.
func TestCheckModeOrdersStreamsByEventsAndTheHost(t *testing.T) {
	e := open(t, "AHA_EMU_CHECK=1")
	f := e.kernel(addSource, "add")
	var other uintptr
	e.must("cuStreamCreate", &other, 1)
	const n = 100
	x, y := upload(e, make([]float32, n)), upload(e, make([]float32, n))
	z := e.alloc(4 * n)
	use := func(stream uintptr) int {
		if code := e.tryLaunch(f, stream, dims{1}, dims{n}, 0, x, y, z, n); code != success {
			t.Fatal(code)
		}
		return e.call("cuStreamSynchronize", stream)
	}
	for range 3 { // the host waits for each
		for _, stream := range []uintptr{e.stream, other} {
			if code := use(stream); code != success {
				t.Fatalf("code %d: %s", code, e.text(code))
			}
		}
	}
	e.launch(f, dims{1}, dims{n}, 0, x, y, z, n)
	if code := e.tryLaunch(f, other, dims{1}, dims{n}, 0, x, y, z, n); code != success {
		t.Fatal(code)
	}
	e.must("cuStreamSynchronize", e.stream)
	e.expect(e.call("cuStreamSynchronize", other), launchFailed,
		"race: writes what an operation of another stream wrote, with no event between them")
}

// plantSize is the number of elements of x and out.
const plantSize = 64

// run launches the plant. It returns the first error code, and a description of
// what is wrong.
func (p *plant) run(e *emulator, bug bool) (code int, wrong string) {
	e.Helper()
	var options []string
	if bug {
		options = []string{"-DBUG"}
	}
	f := e.function(e.module(p.source, options...), "planted")
	x, out := make([]float32, plantSize), make([]float32, plantSize)
	for i := range x {
		x[i] = float32(i + 1)
	}
	at, result := upload(e, x), e.alloc(4*plantSize)
	e.launch(f, dims{1}, dims{plantSize}, p.shared, at, result)
	if code := e.sync(); code != success {
		return code, e.text(code)
	}
	copy(out, download[float32](e, result, plantSize))
	for i, v := range out {
		if v != p.want(i) {
			return success, fmt.Sprintf("element %d is %v, want %v", i, v, p.want(i))
		}
	}
	return success, ""
}

func TestCheckModeCatchesPlantedBugs(t *testing.T) {
	for _, p := range plants {
		for _, schedule := range schedules {
			t.Run(p.name+","+schedule, func(t *testing.T) {
				e := open(t, "AHA_EMU_CHECK=1", "AHA_EMU_SCHEDULE="+schedule)
				if _, wrong := p.run(e, false); wrong != "" {
					t.Fatalf("without the bug: %s", wrong)
				}
				code, wrong := p.run(e, true)
				if code == success {
					t.Fatalf("not caught; result: %s", wrong)
				}
				if schedule == "fifo" && !strings.Contains(wrong, p.report) {
					t.Errorf("report %q, want %q in it", wrong, p.report)
				}
			})
		}
	}
}

func TestPlantedBugsShowWithoutCheckMode(t *testing.T) {
	for _, p := range plants {
		for _, schedule := range schedules {
			t.Run(p.name+","+schedule, func(t *testing.T) {
				e := open(t, "AHA_EMU_SCHEDULE="+schedule)
				if _, wrong := p.run(e, false); wrong != "" {
					t.Fatalf("without the bug: %s", wrong)
				}
				if _, wrong := p.run(e, true); wrong == "" {
					t.Error("the result does not show the bug")
				}
			})
		}
	}
}
