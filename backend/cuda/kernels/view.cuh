// Views and their elements. constants.cuh, which the Go package generates,
// numbers dtypes and functions like package backend.
#pragma once
#include "constants.cuh"
#include "types.cuh"

// A View is a strided view of device memory with four dimensions. If an operand
// has fewer, the leading dimensions have length 1. Strides count elements. data
// is the address of the first element, or 0 if the operand is absent.
struct View {
	char *data;
	long long shape[4], strides[4];
	long long dtype;
};

// Index is the index of an element in each dimension.
struct Index { long long i[4]; };

__device__ inline long long length(const View &v) { return v.shape[0] * v.shape[1] * v.shape[2] * v.shape[3]; }

// unravel returns the index of the n-th element in row-major order.
__device__ inline Index unravel(const View &v, long long n) {
	Index k;
	for (int d = 3; d >= 0; d--) {
		k.i[d] = n % v.shape[d];
		n /= v.shape[d];
	}
	return k;
}

// at returns the offset of an element from the first one.
__device__ inline long long at(const View &v, const Index &k) {
	return k.i[0] * v.strides[0] + k.i[1] * v.strides[1] + k.i[2] * v.strides[2] + k.i[3] * v.strides[3];
}

// once returns x as a float rounded to odd: its last bit records whether bits
// were dropped, so that rounding it to fewer bits gives the same as rounding x.
__device__ inline float once(float x) { return x; }
__device__ inline float once(int x) { return (float)x; }
__device__ inline float once(double x) {
	float f = (float)x;
	if (f == x || x != x) return f;
	unsigned bits = __float_as_uint(f);
	if ((f < 0 ? -f : f) > (x < 0 ? -x : x)) bits--;
	return __uint_as_float(bits | 1);
}

// load returns the element of v at offset p as T.
template <class T> __device__ inline T load(const View &v, long long p) {
	switch (v.dtype) {
	case F32: return (T)((const float *)v.data)[p];
	case F64: return (T)((const double *)v.data)[p];
	case BF16: return (T)to_f32(((const bf16 *)v.data)[p]);
	case F16: return (T)to_f32(((const f16 *)v.data)[p]);
	case E4M3: return (T)to_f32(((const e4m3 *)v.data)[p]);
	case E5M2: return (T)to_f32(((const e5m2 *)v.data)[p]);
	case I8: return (T)((const signed char *)v.data)[p];
	default: return (T)((const int *)v.data)[p];
	}
}

// move copies an element without conversion. x and y have dtypes of the same
// size.
__device__ inline void move(const View &y, long long to, const View &x, long long from) {
	switch (y.dtype) {
	case F64: ((double *)y.data)[to] = ((const double *)x.data)[from]; break;
	case F32:
	case I32: ((int *)y.data)[to] = ((const int *)x.data)[from]; break;
	case BF16:
	case F16: ((unsigned short *)y.data)[to] = ((const unsigned short *)x.data)[from]; break;
	default: y.data[to] = x.data[from];
	}
}

// toInteger truncates x. NaN gives 0, and numbers out of range the nearest int.
__device__ inline int toInteger(int x) { return x; }
__device__ inline int toInteger(double x) {
	if (x != x) return 0;
	return x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? -2147483647 - 1 : (int)x;
}

// store rounds x and writes it to the element of v at offset p.
template <class T> __device__ inline void store(const View &v, long long p, T x) {
	switch (v.dtype) {
	case F32: ((float *)v.data)[p] = (float)x; break;
	case F64: ((double *)v.data)[p] = (double)x; break;
	case BF16: ((bf16 *)v.data)[p] = from_f32<bf16>(once(x)); break;
	case F16: ((f16 *)v.data)[p] = from_f32<f16>(once(x)); break;
	case E4M3: ((e4m3 *)v.data)[p] = from_f32<e4m3>(once(x)); break;
	case E5M2: ((e5m2 *)v.data)[p] = from_f32<e5m2>(once(x)); break;
	case I8: ((signed char *)v.data)[p] = (signed char)x; break;
	default: ((int *)v.data)[p] = toInteger(x);
	}
}

__device__ inline int integer(const View &v, long long p) { return ((const int *)v.data)[p]; }

// refuse reports in bad a number that is out of range: the number plus 1, or
// the number itself if it is negative.
__device__ inline bool refuse(long long id, int *bad) {
	atomicExch(bad, (int)(id < 0 ? id : id + 1)); // several threads may report
	return false;
}

// valid reports whether id is an index of count elements. If not, it reports id
// in bad.
__device__ inline bool valid(long long id, long long count, int *bad) {
	return id >= 0 && id < count || refuse(id, bad);
}

// EACH runs a statement for every n < count, divided among all threads.
#define EACH(n, count) \
	for (long long n = blockIdx.x * (long long)blockDim.x + threadIdx.x; n < (count); \
		n += (long long)gridDim.x * blockDim.x)

// KERNELS defines the F32 and F64 kernels of a template over the compute dtype.
#define KERNELS(name, params, args) \
	extern "C" __global__ void name##_f32 params { name<float> args; } \
	extern "C" __global__ void name##_f64 params { name<double> args; }
