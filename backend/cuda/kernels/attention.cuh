// Functions that attention and its gradient share.
#pragma once
#include "view.cuh"
#include "fold.cuh"

enum { SEGMENT = 128 }; // number of keys of a segment of Attention: backend.PageRows

// columns is the number of columns of a result that a lane sums at a time, in
// registers.
template <class T> constexpr int columns = sizeof(T) == 4 ? 16 : 4;

// row returns the offset of row i of head h in v [N, H, D]. Its elements are
// adjacent.
__device__ inline long long row(const View &v, long long i, long long h) {
	return i * v.strides[1] + h * v.strides[2];
}

// activation returns the element of v at offset p: F32 or BF16, or F64 if T is
// double.
template <class T> __device__ inline T activation(const View &v, long long p);
template <> __device__ inline float activation<float>(const View &v, long long p) {
	return v.dtype == BF16 ? to_f32(((const bf16 *)v.data)[p]) : ((const float *)v.data)[p];
}
template <> __device__ inline double activation<double>(const View &v, long long p) {
	return ((const double *)v.data)[p];
}

// dot returns the product of the row of x at offset p and the row of y at
// offset q: one chain of multiply-adds in ascending order of columns.
template <class T> __device__ inline T dot(const View &x, long long p, const View &y, long long q) {
	T sum = 0;
	for (long long c = 0; c < x.shape[3]; c++) sum = fused(activation<T>(x, p + c), activation<T>(y, q + c), sum);
	return sum;
}

// statistic returns the element of v [N, H], such as LSE, for row i and head h.
template <class T> __device__ inline T statistic(const View &v, long long i, long long h) {
	return ((const T *)v.data)[i * v.strides[2] + h * v.strides[3]];
}

// A Window is the n key rows, starting at row first, that a query row sees.
struct Window { long long first, n; };

// window returns the window of query row i. If it leaves the key rows, window
// reports that in bad and returns an empty window.
__device__ inline Window window(const View &start, const View &len, long long i, long long rows, int *bad) {
	long long first = integer(start, i * start.strides[3]), n = integer(len, i * len.strides[3]);
	if (n <= 0 || !valid(first, rows, bad) || !valid(first + n - 1, rows, bad)) return {0, 0};
	return {first, n};
}
