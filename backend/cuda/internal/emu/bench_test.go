//go:build linux && amd64

package emu

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// gemmSource is a matrix product with 16×16 tiles in shared memory.
const gemmSource = `
extern "C" __global__ void gemm(const float *a, const float *b, float *c, int n) {
	__shared__ float as[16][17], bs[16][17];
	int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
	float sum = 0;
	for (int k = 0; k < n; k += 16) {
		as[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
		bs[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + column];
		__syncthreads();
		for (int i = 0; i < 16; i++) sum = __fmaf_rn(as[threadIdx.y][i], bs[i][threadIdx.x], sum);
		__syncthreads();
	}
	c[row * n + column] = sum;
}
`

// BenchmarkLaunch runs kernels, with a synchronization after every hundred
// launches.
func BenchmarkLaunch(b *testing.B) {
	const n = 1 << 16
	for _, c := range []struct {
		name, kernel, source string
		grid, block          [2]int
		size                 int
	}{
		{"tiny", "add", addSource, [2]int{1, 1}, [2]int{32, 1}, 32},
		{"add", "add", addSource, [2]int{n / 256, 1}, [2]int{256, 1}, n},
		{"sum", "sum", sumSource, [2]int{n / 256, 1}, [2]int{256, 1}, n},
		{"gemm128", "gemm", gemmSource, [2]int{8, 8}, [2]int{16, 16}, 128},
	} {
		for _, check := range []string{"0", "1"} {
			b.Run(c.name+"/check="+check, func(b *testing.B) {
				e := open(b, "AHA_EMU_CHECK="+check)
				launch, err := purego.Dlsym(e.lib, "cuLaunchKernel")
				if err != nil {
					b.Fatal(err)
				}
				f := e.kernel(c.source, c.kernel)
				x, y, z := upload(e, make([]float32, n)), upload(e, make([]float32, n)), e.alloc(4*n)
				args := []any{x, y, z, c.size}
				if c.kernel == "sum" {
					args = []any{x, z, c.size}
				}
				params := pack(args)
				gx, gy, bx, by := uintptr(c.grid[0]), uintptr(c.grid[1]), uintptr(c.block[0]), uintptr(c.block[1])
				b.ResetTimer()
				for i := range b.N {
					code, _, _ := purego.SyscallN(launch, f, gx, gy, 1, bx, by, 1, 0, e.stream, uintptr(unsafe.Pointer(params)), 0)
					if code != success {
						b.Fatal(code)
					}
					if i%100 == 99 {
						e.must("cuStreamSynchronize", e.stream)
					}
				}
				e.must("cuStreamSynchronize", e.stream)
				runtime.KeepAlive(params)
				threads := float64(gx * gy * bx * by)
				b.ReportMetric(threads*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mthreads/s")
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, check := range []string{"0", "1"} {
		b.Run("check="+check, func(b *testing.B) {
			e := open(b, "AHA_EMU_CHECK="+check)
			for b.Loop() {
				if _, log, code := e.compile(gemmSource); code != success {
					b.Fatal(log)
				}
			}
		})
	}
}
