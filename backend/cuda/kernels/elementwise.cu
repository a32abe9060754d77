// backend.Fill, Iota, Unary, Binary and Select: one element per thread.
#include "view.cuh"
#include "math.cuh"

extern "C" __global__ void fill(View dst, double value) {
	EACH(n, length(dst)) store(dst, at(dst, unravel(dst, n)), value);
}

extern "C" __global__ void iota(View dst) {
	EACH(n, length(dst)) ((int *)dst.data)[n * dst.strides[3]] = (int)n;
}

template <class T> __device__ T apply(int fn, T x, T a, T b) {
	switch (fn) {
	case Affine: return a * x + b;
	case Clamp: return x != x ? x : smaller(larger(x, a), b);
	case Exp: return exponential(x);
	case Log: return logarithm(x);
	case Sigmoid: return sigmoid(x);
	case Sqrt: return root(x);
	case Reciprocal: return (T)1 / x;
	case Abs: return size(x);
	case Sign: return x > 0 ? (T)1 : x < 0 ? (T)-1 : x;
	case Tanh: return hyperbolicTangent(x);
	case Erf: return errorFunction(x);
	default: return logarithmOfOneAnd(x); // Log1p
	}
}

template <class T> __device__ void unary(const View &y, const View &x, int fn, double a, double b) {
	EACH(n, length(y)) {
		Index k = unravel(y, n);
		store(y, at(y, k), apply(fn, load<T>(x, at(x, k)), (T)a, (T)b));
	}
}
KERNELS(unary, (View y, View x, int fn, double a, double b), (y, x, fn, a, b))

template <class T> __device__ T combine(int fn, T a, T b) {
	switch (fn) {
	case Add: return a + b;
	case Sub: return a - b;
	case Mul: return a * b;
	case Div: return a / b;
	case Max: return larger(a, b);
	case Min: return smaller(a, b);
	case Less: return (T)(a < b);
	case LessEqual: return (T)(a <= b);
	default: return (T)(a == b); // Equal
	}
}

template <class T> __device__ void binary(const View &y, const View &a, const View &b, int fn) {
	EACH(n, length(y)) {
		Index k = unravel(y, n);
		store(y, at(y, k), combine(fn, load<T>(a, at(a, k)), load<T>(b, at(b, k))));
	}
}
KERNELS(binary, (View y, View a, View b, int fn), (y, a, b, fn))

// Sums and products of integers wrap around on overflow.
extern "C" __global__ void binary_i32(View y, View a, View b, int fn) {
	EACH(n, length(y)) {
		Index k = unravel(y, n);
		int p = integer(a, at(a, k)), q = integer(b, at(b, k)), r;
		switch (fn) {
		case Add: r = (int)((unsigned)p + (unsigned)q); break;
		case Sub: r = (int)((unsigned)p - (unsigned)q); break;
		case Mul: r = (int)((unsigned)p * (unsigned)q); break;
		default: r = combine(fn, p, q);
		}
		store(y, at(y, k), r);
	}
}

template <class T> __device__ void choose(const View &y, const View &cond, const View &a, const View &b) {
	EACH(n, length(y)) {
		Index k = unravel(y, n);
		store(y, at(y, k), integer(cond, at(cond, k)) ? load<T>(a, at(a, k)) : load<T>(b, at(b, k)));
	}
}
KERNELS(choose, (View y, View cond, View a, View b), (y, cond, a, b))
