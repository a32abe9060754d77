// What attention and its gradient share.
#pragma once
#include "view.cuh"
#include "fold.cuh"

enum {
	SEGMENT = 128, // keys after which Attention begins a new sum: backend.PageRows
	TILE = 16,     // columns of the rows in shared memory
	COLUMNS = 4    // columns of a result that a thread sums at a time
};

// row is where row i of head h of v [N, H, D] begins.
__device__ inline long long row(const View &v, long long i, long long h) {
	return i * v.strides[1] + h * v.strides[2];
}

// at is element c of the row at place p as T.
template <class T> __device__ inline T at(const View &v, long long p, long long c) {
	return load<T>(v, p + c * v.strides[3]);
}

// A Window is the key rows that a query row sees, n from row first on.
struct Window { long long first, n; };

// window is that of query row i. One that leaves the key rows is reported and empty.
__device__ inline Window window(const View &start, const View &len, long long i, long long rows, int *bad) {
	long long first = integer(start, i * start.strides[3]), n = integer(len, i * len.strides[3]);
	if (n <= 0 || !valid(first, rows, bad) || !valid(first + n - 1, rows, bad)) return {0, 0};
	return {first, n};
}

// A Tile is columns of n rows and of a vector.
template <class T> struct Tile { T rows[SEGMENT][TILE + 1], vector[TILE]; };

// tile is the one of the block.
template <class T> __device__ inline Tile<T> &tile() {
	__shared__ Tile<T> shared;
	return shared;
}

// product is, in each thread t < n, the sum over c < width of x(c)·m(t, c): one chain
// of multiply-adds over ascending c. m(t, c) is called for neighbouring c by
// neighbouring threads. Threads with t ≥ n get 0. n is at most SEGMENT.
template <class T, class X, class M> __device__ T product(long long width, int n, X x, M m) {
	Tile<T> &s = tile<T>();
	T sum = 0;
	for (long long c = 0; c < width; c += TILE) {
		int w = width - c < TILE ? (int)(width - c) : TILE, e = threadIdx.x % TILE;
		__syncthreads(); // those that still read the last tile
		for (int t = threadIdx.x / TILE; t < n && e < w; t += blockDim.x / TILE) s.rows[t][e] = m(t, c + e);
		if (threadIdx.x < w) s.vector[threadIdx.x] = x(c + threadIdx.x);
		__syncthreads();
		for (int k = 0; threadIdx.x < n && k < w; k++) sum = fused(s.vector[k], s.rows[threadIdx.x][k], sum);
	}
	return sum;
}
