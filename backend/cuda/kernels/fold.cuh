// Combining the values of all threads of a warp or block, in an order that
// depends only on the number of threads.
#pragma once
#include "constants.cuh"
#include "math.cuh"

enum { MaxThreads = 256, MaxWarps = MaxThreads / 32 }; // limits of a block

template <class T> struct Plus { __device__ T operator()(T a, T b) const { return a + b; } };
template <class T> struct Larger { __device__ T operator()(T a, T b) const { return larger(a, b); } };

// shuffles reports whether warp shuffles can move values of type T between
// lanes.
template <class T> constexpr bool shuffles = false;
template <> constexpr bool shuffles<int> = true;
template <> constexpr bool shuffles<float> = true;
template <> constexpr bool shuffles<double> = true;

// parts returns shared memory for one value per thread of the block.
template <class T> __device__ inline T *parts() {
	__shared__ T shared[MaxThreads];
	return shared;
}

// halve combines part[0] to part[31], which the lanes of a warp have written,
// into part[0].
template <class T, class F> __device__ void halve(T *part, int lane, F op) {
	for (int half = 16; half > 0; half /= 2) {
		__syncwarp();
		if (lane < half) part[lane] = op(part[lane], part[lane + half]);
	}
	__syncwarp();
}

// foldWarp returns, in each thread of the warp, the combination of the x of all
// its threads. op must be commutative.
template <class T, class F> __device__ T foldWarp(T x, F op) {
	if constexpr (shuffles<T>) {
		for (int half = 16; half > 0; half /= 2) x = op(x, __shfl_xor_sync(0xffffffffu, x, half));
		return x;
	} else {
		T *part = parts<T>() + threadIdx.x / 32 * 32;
		__syncwarp(); // wait for lanes that still read the last result
		part[threadIdx.x % 32] = x;
		halve(part, threadIdx.x % 32, op);
		return part[0];
	}
}

// fold returns, in each thread of the block, the combination of the x of all
// its threads. op must be commutative. A kernel that also calls foldWarp needs
// a barrier between the two.
template <class T, class F> __device__ T fold(T x, F op) {
	T *part = parts<T>();
	__syncthreads(); // wait for threads that still read the last result
	part[threadIdx.x] = x;
	__syncthreads();
	if (threadIdx.x < 32) {
		for (int i = threadIdx.x + 32; i < blockDim.x; i += 32) x = op(x, part[i]);
		part[threadIdx.x] = x;
		halve(part, threadIdx.x, op);
	}
	__syncthreads();
	return part[0];
}

// EACH_WARP runs a statement for every n < count, divided among all warps.
#define EACH_WARP(n, count) \
	for (long long n = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32; n < (count); \
		n += (long long)gridDim.x * blockDim.x / 32)

// A team is the threads that process a row together: a warp or a block. any
// reports whether x is true in any of its threads, and is a barrier too; share
// is the team's part of the block's shared memory.
struct Warp {
	__device__ int rank() const { return threadIdx.x % 32; }
	__device__ int size() const { return 32; }
	__device__ void sync() const { __syncwarp(); }
	__device__ bool any(bool x) const {
		__syncwarp();
		return __any_sync(0xffffffffu, x);
	}
	template <class T, class F> __device__ T fold(T x, F op) const { return foldWarp(x, op); }
	template <class T, int N> __device__ T *share(T (&memory)[N]) const {
		return memory + threadIdx.x / 32 * (N / MaxWarps);
	}
};
struct Block {
	__device__ int rank() const { return threadIdx.x; }
	__device__ int size() const { return blockDim.x; }
	__device__ void sync() const { __syncthreads(); }
	__device__ bool any(bool x) const { return __syncthreads_or(x); }
	template <class T, class F> __device__ T fold(T x, F op) const { return ::fold(x, op); }
	template <class T, int N> __device__ T *share(T (&memory)[N]) const { return memory; }
};

// eachRow calls f(team, i) for every i < n, divided among teams: warps if rows
// have at most ShortRow elements, else blocks. The choice must not depend on n,
// since it determines the order of a row's sums.
template <class F> __device__ void eachRow(long long n, long long length, F f) {
	if (length <= ShortRow) {
		EACH_WARP(i, n) f(Warp(), i);
	} else {
		for (long long i = blockIdx.x; i < n; i += gridDim.x) f(Block(), i);
	}
}
