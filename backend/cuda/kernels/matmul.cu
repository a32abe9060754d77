// backend.MatMul: a block of 16×16 threads computes as many elements of C.
#include "product.cuh"

template <class F>
__device__ void matMul(const View &c, const View &a, const View &aScale, const View &b, const View &bScale,
		int accumulate) {
	typedef typename F::Number T;
	int x = threadIdx.x % Tile, y = threadIdx.x / Tile;
	long long m = c.shape[2], n = c.shape[3], depth = a.shape[3];
	long long across = (n + Tile - 1) / Tile, down = (m + Tile - 1) / Tile;
	for (long long tile = blockIdx.x; tile < across * down * c.shape[0] * c.shape[1]; tile += gridDim.x) {
		long long batch = tile / (across * down), e0 = batch / c.shape[1], e1 = batch % c.shape[1];
		long long i = tile / across % down * Tile + y, j = tile % across * Tile + x;
		long long to = e0 * c.strides[0] + e1 * c.strides[1] + i * c.strides[2] + j * c.strides[3];
		bool inside = i < m && j < n;
		T sum = inside && accumulate ? load<T>(c, to) : (T)0;
		sum = product<F>(operand(a, aScale, e0, e1), operand(b, bScale, e0, e1), i, j, m, n, depth, sum);
		if (inside) store(c, to, sum);
	}
}
FORMATS(matMul, (View c, View a, View aScale, View b, View bScale, int accumulate),
	(c, a, aScale, b, bScale, accumulate))
