// Results of all threads of a block. Threads' values are combined in halves, so that
// the order depends on nothing but the number of threads.
#pragma once
#include "math.cuh"

// fold is the combination of x of all threads of the block, in each of them.
template <class T, class F> __device__ T fold(T x, F op) {
	__shared__ T part[256];
	__syncthreads(); // those that still read the last result
	part[threadIdx.x] = x;
	for (int half = blockDim.x / 2; half > 0; half /= 2) {
		__syncthreads();
		if (threadIdx.x < half) part[threadIdx.x] = op(part[threadIdx.x], part[threadIdx.x + half]);
	}
	__syncthreads();
	return part[0];
}

template <class T> struct Plus { __device__ T operator()(T a, T b) const { return a + b; } };
template <class T> struct Larger { __device__ T operator()(T a, T b) const { return larger(a, b); } };
