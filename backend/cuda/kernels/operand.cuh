// Operands of products and the formats of weights.
#pragma once
#include "view.cuh"
#include "math.cuh"

// Operand is a matrix in a view and, for formats with scales, the matrix of its
// scales. Element (i, j) is at offset at + i·down + j·across.
struct Operand {
	const View *data, *scale;
	long long at, down, across, scaleAt;

	__device__ long long place(long long i, long long j) const { return at + i * down + j * across; }
	// of returns the scale of block (i, j).
	__device__ float of(long long i, long long j) const {
		return load<float>(*scale, scaleAt + i * scale->strides[2] + j * scale->strides[3]);
	}
	// least returns the minimum of block (i, j), which follows its scale.
	__device__ float least(long long i, long long j) const {
		return load<float>(*scale, scaleAt + i * scale->strides[2] + j * scale->strides[3] + 1);
	}
};

// operand returns matrix (e0, e1) of a view.
__device__ inline Operand operand(const View &v, const View &scale, long long e0, long long e1) {
	return {&v, &scale, e0 * v.strides[0] + e1 * v.strides[1], v.strides[2], v.strides[3],
		e0 * scale.strides[0] + e1 * scale.strides[1]};
}

// rowsFrom returns a starting at row i. a must have no scales, or scales of its
// rows.
__device__ inline Operand rowsFrom(Operand a, long long i) {
	a.at += i * a.down;
	a.scaleAt += i * a.scale->strides[2];
	return a;
}

// transposed returns the transpose of a matrix without scales.
__device__ inline Operand transposed(Operand a) {
	long long down = a.down;
	a.down = a.across;
	a.across = down;
	return a;
}

// A format defines how elements of operands are read and the type Number of
// their sums. weight returns the value of an element of weights. Formats with
// Scaled set sum Block products before they multiply by scales.

// Native is F32 or F64.
template <class T> struct Native {
	typedef T Number;
	enum { Scaled = false };
	__device__ static T left(const Operand &a, long long i, long long p) { return load<T>(*a.data, a.place(i, p)); }
	__device__ static T right(const Operand &b, long long p, long long j) { return load<T>(*b.data, b.place(p, j)); }
};

// BFloat16 rounds both operands to BF16.
struct BFloat16 {
	typedef float Number;
	__device__ static bf16 left(const Operand &a, long long i, long long p) {
		return from_f32<bf16>(load<float>(*a.data, a.place(i, p)));
	}
	__device__ static bf16 right(const Operand &b, long long p, long long j) {
		return from_f32<bf16>(load<float>(*b.data, b.place(p, j)));
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return to_f32(right(b, p, j)); }
};

// FP8 is E4M3 with one scale for 1×128 elements of the left operand and for
// 128×128 elements of the right operand.
struct FP8 {
	typedef float Number;
	enum { Scaled = true, Block = 128 };
	__device__ static float left(const Operand &a, long long i, long long p) {
		return load<float>(*a.data, a.place(i, p));
	}
	__device__ static float right(const Operand &b, long long p, long long j) {
		return load<float>(*b.data, b.place(p, j));
	}
	__device__ static float weight(const Operand &b, long long p, long long j) {
		return right(b, p, j) * b.of(p / Block, j / Block);
	}
};

// Q8 is integers with one scale for 32 elements of a column. The left operand
// is F32.
struct Q8 : Native<float> {
	enum { Block = 32 };
	__device__ static float right(const Operand &b, long long p, long long j) {
		return load<float>(*b.data, b.place(p, j)) * b.of(p / Block, j);
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return right(b, p, j); }
};

// Q4 is Q8 with two integers in a byte, the even one in the lower half, each
// with 8 added. Its offsets count integers.
struct Q4 : Native<float> {
	enum { Block = 32 };
	__device__ static int code(const Operand &b, long long p, long long j) {
		long long place = b.place(p, j);
		return ((const unsigned char *)b.data->data)[place / 2] >> place % 2 * 4 & 15;
	}
	__device__ static float right(const Operand &b, long long p, long long j) {
		return (code(b, p, j) - 8) * b.of(p / Block, j);
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return right(b, p, j); }
};

// Q4_1 is Q4 with a minimum instead of the offset of 8.
struct Q4_1 : Native<float> {
	enum { Block = 32 };
	__device__ static float right(const Operand &b, long long p, long long j) {
		return Q4::code(b, p, j) * b.of(p / Block, j) + b.least(p / Block, j);
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return right(b, p, j); }
};
