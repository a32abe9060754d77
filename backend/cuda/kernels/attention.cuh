// What attention and its gradient share.
#pragma once
#include "view.cuh"
#include "fold.cuh"

enum { SEGMENT = 128 }; // keys after which Attention begins a new sum: backend.PageRows

// columns is how many columns of a result a lane sums at a time, in registers.
template <class T> constexpr int columns = sizeof(T) == 4 ? 16 : 4;

// row is where row i of head h of v [N, H, D] begins. Its elements lie side by side.
__device__ inline long long row(const View &v, long long i, long long h) {
	return i * v.strides[1] + h * v.strides[2];
}

// activation is the element of v at place p, which is F32 or BF16, or F64 with T.
template <class T> __device__ inline T activation(const View &v, long long p);
template <> __device__ inline float activation<float>(const View &v, long long p) {
	return v.dtype == BF16 ? to_f32(((const bf16 *)v.data)[p]) : ((const float *)v.data)[p];
}
template <> __device__ inline double activation<double>(const View &v, long long p) {
	return ((const double *)v.data)[p];
}

// dot is the product of the rows of x at place p and of y at place q: one chain of
// multiply-adds over ascending columns.
template <class T> __device__ inline T dot(const View &x, long long p, const View &y, long long q) {
	T sum = 0;
	for (long long c = 0; c < x.shape[3]; c++) sum = fused(activation<T>(x, p + c), activation<T>(y, q + c), sum);
	return sum;
}

// statistic is that of row i and head h of v [N, H], such as LSE.
template <class T> __device__ inline T statistic(const View &v, long long i, long long h) {
	return ((const T *)v.data)[i * v.strides[2] + h * v.strides[3]];
}

// A Window is the key rows that a query row sees, n from row first on.
struct Window { long long first, n; };

// window is that of query row i. One that leaves the key rows is reported and empty.
__device__ inline Window window(const View &start, const View &len, long long i, long long rows, int *bad) {
	long long first = integer(start, i * start.strides[3]), n = integer(len, i * len.strides[3]);
	if (n <= 0 || !valid(first, rows, bad) || !valid(first + n - 1, rows, bad)) return {0, 0};
	return {first, n};
}
