// Rotation of pairs of elements by the angle of a position.
#pragma once
#include "view.cuh"

// Rotation is the tables Cos and Sin [P, half] and the layout of pairs:
// elements 2k and 2k+1 if interleaved, else k and k+half.
struct Rotation {
	const View &cos, &sin;
	int interleaved, inverse;

	__device__ long long half() const { return cos.shape[3]; }
	__device__ long long first(long long k) const { return interleaved ? 2 * k : k; }
	__device__ long long second(long long k) const { return interleaved ? 2 * k + 1 : k + half(); }

	// turn rotates pair k at position p.
	template <class T> __device__ void turn(T &a, T &b, long long p, long long k) const {
		T c = load<T>(cos, p * cos.strides[2] + k * cos.strides[3]);
		T s = load<T>(sin, p * sin.strides[2] + k * sin.strides[3]);
		if (inverse) s = -s;
		T x = a, y = b;
		a = x * c - y * s;
		b = x * s + y * c;
	}
};
