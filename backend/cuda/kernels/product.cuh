// Matrix products in every format: the order of the sum is that of package backend,
// one chain over ascending k for each element, whatever the sizes are.
#pragma once
#include "view.cuh"
#include "math.cuh"

// Operand is a matrix in a view and, in formats with scales, their matrix: element
// (i, j) is at place at + i·down + j·across.
struct Operand {
	const View *data, *scale;
	long long at, down, across, scaleAt;

	__device__ long long place(long long i, long long j) const { return at + i * down + j * across; }
	// of is the scale of block (i, j).
	__device__ float of(long long i, long long j) const {
		return load<float>(*scale, scaleAt + i * scale->strides[2] + j * scale->strides[3]);
	}
};

// operand is matrix (e0, e1) of a view.
__device__ inline Operand operand(const View &v, const View &scale, long long e0, long long e1) {
	return {&v, &scale, e0 * v.strides[0] + e1 * v.strides[1], v.strides[2], v.strides[3],
		e0 * scale.strides[0] + e1 * scale.strides[1]};
}

// rowsFrom is a from row i on, without scales or with scales of its rows.
__device__ inline Operand rowsFrom(Operand a, long long i) {
	a.at += i * a.down;
	a.scaleAt += i * a.scale->strides[2];
	return a;
}

// transposed is a matrix without scales, rows as columns.
__device__ inline Operand transposed(Operand a) {
	long long down = a.down;
	a.down = a.across;
	a.across = down;
	return a;
}

// A product is computed in tiles of Tile×Tile elements, from as many k at a time.
enum { Tile = 16 };

// A format says how operands are read and how a chain continues over the next k: add
// takes a row of the left tile and a column of the right one, and close ends the k up
// to p.

// Native multiplies F32 or F64 with fused multiply-adds.
template <class T> struct Native {
	typedef T Number;
	T sum;
	__device__ static T left(const Operand &a, long long i, long long p) { return load<T>(*a.data, a.place(i, p)); }
	__device__ static T right(const Operand &b, long long p, long long j) { return load<T>(*b.data, b.place(p, j)); }
	__device__ void add(const T *row, const T (*column)[Tile + 1], int count) {
		for (int q = 0; q < count; q++) sum = fused(row[q], column[q][0], sum);
	}
	__device__ void close(const Operand &, const Operand &, long long, long long, long long, long long) {}
};

// BFloat16 rounds both to BF16 and adds the odd product of each pair of k first.
struct BFloat16 {
	typedef float Number;
	float sum;
	__device__ static float round(float x) { return to_f32(from_f32<bf16>(x)); }
	__device__ static float left(const Operand &a, long long i, long long p) {
		return round(load<float>(*a.data, a.place(i, p)));
	}
	__device__ static float right(const Operand &b, long long p, long long j) {
		return round(load<float>(*b.data, b.place(p, j)));
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return right(b, p, j); }
	__device__ void add(const float *row, const float (*column)[Tile + 1], int count) {
		for (int q = 0; q < count; q += 2) {
			sum = fmaf(row[q + 1], column[q + 1][0], sum);
			sum = fmaf(row[q], column[q][0], sum);
		}
	}
	__device__ void close(const Operand &, const Operand &, long long, long long, long long, long long) {}
};

// FP8 sums E4M3 numbers by blocks of 128 k in the order of BFloat16, and adds the
// sums times both scales.
struct FP8 {
	typedef float Number;
	enum { Block = 128 };
	float sum, block = 0;
	__device__ FP8(float c) : sum(c) {}
	__device__ static float left(const Operand &a, long long i, long long p) {
		return load<float>(*a.data, a.place(i, p));
	}
	__device__ static float right(const Operand &b, long long p, long long j) {
		return load<float>(*b.data, b.place(p, j));
	}
	__device__ static float weight(const Operand &b, long long p, long long j) {
		return right(b, p, j) * b.of(p / Block, j / Block);
	}
	__device__ void add(const float *row, const float (*column)[Tile + 1], int count) {
		for (int q = 0; q < count; q += 2) {
			block = fmaf(row[q + 1], column[q + 1][0], block);
			block = fmaf(row[q], column[q][0], block);
		}
	}
	__device__ void close(const Operand &a, const Operand &b, long long i, long long j, long long p, long long depth) {
		if (p % Block != 0 && p < depth) return;
		long long at = (p < depth ? p - 1 : depth - 1) / Block;
		float scale = a.of(i, at) * b.of(at, j / Block);
		sum = sum + scale * block;
		block = 0;
	}
};

// Q8 multiplies the left operand in F32 by d·q: Native on what Unpack gives.
struct Q8 : Native<float> {
	enum { Block = 32 };
	__device__ Q8(float c) : Native<float>{c} {}
	__device__ static float right(const Operand &b, long long p, long long j) {
		return load<float>(*b.data, b.place(p, j)) * b.of(p / Block, j);
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return right(b, p, j); }
};

// Q4 is Q8 of two integers a byte, the even one in the lower half, with 8 added. Its
// places count integers.
struct Q4 : Native<float> {
	enum { Block = 32 };
	__device__ Q4(float c) : Native<float>{c} {}
	__device__ static float right(const Operand &b, long long p, long long j) {
		long long place = b.place(p, j);
		int q = (((const unsigned char *)b.data->data)[place / 2] >> place % 2 * 4 & 15) - 8;
		return q * b.of(p / Block, j);
	}
	__device__ static float weight(const Operand &b, long long p, long long j) { return right(b, p, j); }
};

// product is element (i, j) of c + a·b for the thread of a block that is at (i, j)
// of a tile; a has m rows and b n columns. All threads of the block call it.
template <class F>
__device__ typename F::Number product(const Operand &a, const Operand &b, long long i, long long j,
		long long m, long long n, long long depth, typename F::Number c) {
	typedef typename F::Number T;
	__shared__ T left[Tile][Tile + 1], right[Tile][Tile + 1];
	int x = threadIdx.x % Tile, y = threadIdx.x / Tile;
	F chain{c};
	for (long long p = 0; p < depth; p += Tile) {
		left[y][x] = i < m && p + x < depth ? F::left(a, i, p + x) : (T)0;
		right[y][x] = j < n && p + y < depth ? F::right(b, p + y, j) : (T)0;
		__syncthreads();
		chain.add(left[y], (const T (*)[Tile + 1])&right[0][x], depth - p < Tile ? (int)(depth - p) : (int)Tile);
		if (i < m && j < n) chain.close(a, b, i, j, p + Tile, depth);
		__syncthreads();
	}
	return chain.sum;
}

// FORMATS defines a kernel in every format by a template, and TRAINING in those that
// train.
#define TRAINING(name, params, args) \
	KERNEL(name, _f32, Native<float>, params, args) \
	KERNEL(name, _f64, Native<double>, params, args) \
	KERNEL(name, _bf16, BFloat16, params, args)
#define FORMATS(name, params, args) \
	TRAINING(name, params, args) \
	KERNEL(name, _fp8, FP8, params, args) \
	KERNEL(name, _q8, Q8, params, args) \
	KERNEL(name, _q4, Q4, params, args)
#define KERNEL(name, suffix, format, params, args) \
	extern "C" __global__ void name##suffix params { name<format> args; }
