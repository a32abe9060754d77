// Matrix products in tiles, one tile per block of threads. Each element is one
// chain of sums in ascending k: its bits depend neither on the sizes of the
// matrices nor on those of the tiles.
#pragma once
#include "operand.cuh"

// A block of Side×Side threads computes a tile, using Depth k at a time.
enum { Side = 16, Depth = 32 };

// fill copies Count×Depth elements of an operand to shared memory. at(n, q)
// returns element q of the n-th row or column, and to(n, q) is its destination.
// along says that elements of the same row or column are adjacent in memory;
// otherwise those of the same q are.
template <int Count, class At, class To> __device__ inline void fill(bool along, At at, To to) {
	for (int e = threadIdx.x; e < Count * Depth; e += Side * Side) {
		int n = along ? e / Depth : e % Count, q = along ? e % Depth : e / Count;
		to(n, q) = at(n, q);
	}
}

// Tile computes Side·R×Side·C elements of a product, R·C in each thread: sum[e]
// is element (row(e), column(e)) of the tile. It uses fused multiply-adds.
template <class F, int R, int C> struct Tile {
	typedef typename F::Number Number;
	enum { Rows = Side * R, Columns = Side * C, Own = R * C };
	struct Shared { Number left[Depth][Rows + 1], right[Depth][Columns]; };
	Number sum[Own];

	__device__ static int row(int e) { return threadIdx.x / Side * R + e / C; }
	__device__ static int column(int e) { return threadIdx.x % Side * C + e % C; }

	// add adds a·b. The tile starts at element (i, j), a has m rows, b has n
	// columns and depth rows. All threads of the block must call it.
	__device__ void add(Shared &s, const Operand &a, const Operand &b, long long i, long long j, long long m,
			long long n, long long depth) {
		Number part[Own] = {}; // sums of the current block of scales
		for (long long p = 0; p < depth; p += Depth) {
			__syncthreads(); // wait for threads that still read the last elements
			fill<Rows>(a.across == 1, [&](int r, int q) {
				return i + r < m && p + q < depth ? F::left(a, i + r, p + q) : (Number)0;
			}, [&](int r, int q) -> Number & { return s.left[q][r]; });
			fill<Columns>(b.down == 1, [&](int c, int q) {
				return j + c < n && p + q < depth ? F::right(b, p + q, j + c) : (Number)0;
			}, [&](int c, int q) -> Number & { return s.right[q][c]; });
			__syncthreads();
			if constexpr (F::Scaled) {
				multiply<true>(part, s);
				if ((p + Depth) % F::Block == 0 || p + Depth >= depth) scale(part, a, b, i, j, m, n, p / F::Block);
			} else {
				multiply<false>(sum, s);
			}
		}
	}

	// multiply continues each chain with Depth products. If Swapped, the odd
	// product of each pair is added first, as in dot products of pairs.
	template <bool Swapped> __device__ static void multiply(Number (&sum)[Own], const Shared &s) {
#pragma unroll 8
		for (int k = 0; k < Depth; k++) {
			int q = k ^ Swapped;
			Number x[R], y[C];
			for (int r = 0; r < R; r++) x[r] = s.left[q][row(r * C)];
			for (int c = 0; c < C; c++) y[c] = s.right[q][column(c)];
			for (int r = 0; r < R; r++) {
				for (int c = 0; c < C; c++) sum[r * C + c] = fused(x[r], y[c], sum[r * C + c]);
			}
		}
	}

	// scale adds a block's sums times their scales and clears the sums.
	__device__ void scale(Number (&part)[Own], const Operand &a, const Operand &b, long long i, long long j,
			long long m, long long n, long long block) {
		for (int e = 0; e < Own; e++) {
			if (i + row(e) < m && j + column(e) < n)
				sum[e] = sum[e] + a.of(i + row(e), block) * b.of(block, (j + column(e)) / F::Block) * part[e];
			part[e] = 0;
		}
	}
};

// Tile<BFloat16> uses tensor cores. Each warp has R·C/4 fragments of 16×8
// elements, side by side, with four elements in each thread. The device
// determines the order in which 16 products and the old value are added; it is
// the same for every element.
template <int R, int C> struct Tile<BFloat16, R, C> {
	typedef float Number;
	enum { Rows = Side * R, Columns = Side * C, Own = R * C, Fragments = Own / 4, Pad = 8 };
	// Pairs of elements. The padding avoids bank conflicts between the lanes of
	// a warp.
	struct Shared { unsigned left[Rows][(Depth + Pad) / 2], right[Columns][(Depth + Pad) / 2]; };
	float sum[Own];

	__device__ static int row(int e) { return threadIdx.x / 32 * R / 8 * 16 + threadIdx.x % 32 / 4 + e % 4 / 2 * 8; }
	__device__ static int column(int e) {
		return (threadIdx.x / 32 % (8 / R) * Fragments + e / 4) * 8 + threadIdx.x % 4 * 2 + e % 2;
	}

	__device__ void add(Shared &s, const Operand &a, const Operand &b, long long i, long long j, long long m,
			long long n, long long depth) {
		int pair = threadIdx.x % 4;
		for (long long p = 0; p < depth; p += Depth) {
			__syncthreads(); // wait for threads that still read the last elements
			fill<Rows>(a.across == 1, [&](int r, int q) {
				return i + r < m && p + q < depth ? BFloat16::left(a, i + r, p + q) : bf16{0};
			}, [&](int r, int q) -> bf16 & { return ((bf16 *)s.left[r])[q]; });
			fill<Columns>(b.down == 1, [&](int c, int q) {
				return j + c < n && p + q < depth ? BFloat16::right(b, p + q, j + c) : bf16{0};
			}, [&](int c, int q) -> bf16 & { return ((bf16 *)s.right[c])[q]; });
			__syncthreads();
			for (int k = pair; k < Depth / 2; k += 8) { // 16 elements at a time
				const unsigned *upper = s.left[row(0)] + k, *lower = s.left[row(2)] + k;
				unsigned x[4] = {upper[0], lower[0], upper[4], lower[4]};
				for (int f = 0; f < Fragments; f++) {
					const unsigned *column = s.right[this->column(4 * f) - 2 * pair + threadIdx.x % 32 / 4] + k;
					unsigned y[2] = {column[0], column[4]};
					mma_bf16(*(float (*)[4])&sum[4 * f], x, y);
				}
			}
		}
	}
};

// compute computes tile (i, j) of C = A·B, or C += A·B, for the m×n matrix at
// offset to of c.
template <class Tile>
__device__ void compute(typename Tile::Shared &s, const View &c, long long to, const Operand &a, const Operand &b,
		long long i, long long j, long long m, long long n, long long depth, bool accumulate) {
	typedef typename Tile::Number T;
	Tile t;
	to += i * c.strides[2] + j * c.strides[3];
	for (int e = 0; e < Tile::Own; e++) {
		bool inside = accumulate && i + t.row(e) < m && j + t.column(e) < n;
		t.sum[e] = inside ? load<T>(c, to + t.row(e) * c.strides[2] + t.column(e) * c.strides[3]) : (T)0;
	}
	t.add(s, a, b, i, j, m, n, depth);
	for (int e = 0; e < Tile::Own; e++) {
		if (i + t.row(e) < m && j + t.column(e) < n)
			store(c, to + t.row(e) * c.strides[2] + t.column(e) * c.strides[3], t.sum[e]);
	}
}

// FORMATS defines the kernels of a template for every format, TRAINING for the
// formats that support training: name computes tiles of 64×64 elements,
// name_few of 16×64.
#define TRAINING(name, params, args) \
	KERNELS_OF(name, _f32, Native<float>, params, args) \
	KERNELS_OF(name, _f64, Native<double>, params, args) \
	KERNELS_OF(name, _bf16, BFloat16, params, args)
#define FORMATS(name, params, args) \
	TRAINING(name, params, args) \
	KERNELS_OF(name, _fp8, FP8, params, args) \
	KERNELS_OF(name, _q8, Q8, params, args) \
	KERNELS_OF(name, _q4, Q4, params, args) \
	KERNELS_OF(name, _q4_1, Q4_1, params, args)
#define KERNELS_OF(name, suffix, format, params, args) \
	KERNEL_OF(name##suffix, name, 4, format, params, args) \
	KERNEL_OF(name##_few##suffix, name, 1, format, params, args)
#define KERNEL_OF(kernel, name, r, format, params, args) \
	extern "C" __global__ void __launch_bounds__(256, 2) kernel params { \
		__shared__ Tile<format, r, 4>::Shared shared; \
		name<Tile<format, r, 4>>(shared, LIST args); \
	}
#define LIST(...) __VA_ARGS__
