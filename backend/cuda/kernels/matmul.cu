// backend.MatMul in Native: one chain of multiply-adds over ascending k for each
// element of C, whatever the sizes are. A block of 16×16 threads computes as many
// elements, from tiles of A and B in shared memory.
#include "view.cuh"
#include "math.cuh"

template <class T> __device__ void matMul(const View &c, const View &a, const View &b, int accumulate) {
	__shared__ T left[16][17], right[16][17];
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
	long long m = c.shape[2], n = c.shape[3], depth = a.shape[3];
	long long across = (n + 15) / 16, down = (m + 15) / 16;
	for (long long tile = blockIdx.x; tile < across * down * c.shape[0] * c.shape[1]; tile += gridDim.x) {
		long long batch = tile / (across * down), e0 = batch / c.shape[1], e1 = batch % c.shape[1];
		long long i = tile / across % down * 16 + y, j = tile % across * 16 + x;
		long long pa = e0 * a.strides[0] + e1 * a.strides[1], pb = e0 * b.strides[0] + e1 * b.strides[1];
		long long to = e0 * c.strides[0] + e1 * c.strides[1] + i * c.strides[2] + j * c.strides[3];
		bool inside = i < m && j < n;
		T sum = inside && accumulate ? load<T>(c, to) : (T)0;
		for (long long p = 0; p < depth; p += 16) {
			left[y][x] = i < m && p + x < depth ? load<T>(a, pa + i * a.strides[2] + (p + x) * a.strides[3]) : (T)0;
			right[y][x] = j < n && p + y < depth ? load<T>(b, pb + (p + y) * b.strides[2] + j * b.strides[3]) : (T)0;
			__syncthreads();
			for (int q = 0; q < 16 && p + q < depth; q++) sum = fused(left[y][q], right[q][x], sum);
			__syncthreads();
		}
		if (inside) store(c, to, sum);
	}
}
KERNELS(matMul, (View c, View a, View b, int accumulate), (c, a, b, accumulate))
