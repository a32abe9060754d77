// backend.SwiGLU and SwiGLUGrad: one element per thread.
#include "view.cuh"
#include "math.cuh"

// cell returns the offset of column j of row i of v [N, F].
__device__ inline long long cell(const View &v, long long i, long long j) {
	return i * v.strides[2] + j * v.strides[3];
}

template <class T> __device__ void swiGLU(const View &y, const View &gate, const View &up) {
	EACH(n, length(y)) {
		long long i = n / y.shape[3], j = n % y.shape[3];
		T z = load<T>(gate, cell(gate, i, j));
		store(y, cell(y, i, j), z / ((T)1 + exponential(-z)) * load<T>(up, cell(up, i, j)));
	}
}
KERNELS(swiGLU, (View y, View gate, View up), (y, gate, up))

template <class T> __device__ void swiGLUGrad(const View &dGate, const View &dUp, const View &dy, const View &gate,
		const View &up) {
	EACH(n, length(dy)) {
		long long i = n / dy.shape[3], j = n % dy.shape[3];
		T z = load<T>(gate, cell(gate, i, j)), u = load<T>(up, cell(up, i, j)), g = load<T>(dy, cell(dy, i, j));
		T s = sigmoid(z);
		store(dUp, cell(dUp, i, j), g * (z * s));
		store(dGate, cell(dGate, i, j), g * u * (s * ((T)1 + z * ((T)1 - s))));
	}
}
KERNELS(swiGLUGrad, (View dGate, View dUp, View dy, View gate, View up), (dGate, dUp, dy, gate, up))
