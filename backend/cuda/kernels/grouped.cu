// backend.GroupedMatMul and GroupedOuter, with the tiles of MatMul.
#include "product.cuh"

// Group is rows [lo, hi) of a ragged op.
struct Group { long long lo, hi; };

// group is group e. bad receives a first row, or a number of rows, that is not within
// the rows, and the group is empty then.
__device__ inline Group group(const View &offsets, long long e, long long rows, int *bad) {
	int lo = integer(offsets, e * offsets.strides[3]), hi = integer(offsets, (e + 1) * offsets.strides[3]);
	if (valid(lo, rows + 1, bad) && valid(hi - lo, rows - lo + 1, bad)) return {lo, hi};
	return {0, 0};
}

// Tiles do not reach over groups. Their order is that of the groups, each row of
// tiles from left to right.
template <class F>
__device__ void groupedMatMul(const View &c, const View &a, const View &aScale, const View &b, const View &bScale,
		const View &offsets, int *bad) {
	typedef typename F::Number T;
	int x = threadIdx.x % Tile, y = threadIdx.x / Tile;
	long long n = c.shape[3], across = (n + Tile - 1) / Tile, begin = 0; // begin counts tiles
	for (long long e = 0; e < offsets.shape[3] - 1; e++) {
		Group g = group(offsets, e, c.shape[2], bad);
		long long m = g.hi - g.lo, tiles = (m + Tile - 1) / Tile * across;
		long long first = (blockIdx.x - begin % gridDim.x + gridDim.x) % gridDim.x;
		for (long long tile = first; tile < tiles; tile += gridDim.x) {
			long long i = tile / across * Tile + y, j = tile % across * Tile + x;
			Operand left = rowsFrom(operand(a, aScale, 0, 0), g.lo);
			T sum = product<F>(left, operand(b, bScale, 0, e), i, j, m, n, a.shape[3], (T)0);
			if (i < m && j < n) store(c, (g.lo + i) * c.strides[2] + j * c.strides[3], sum);
		}
		begin += tiles;
	}
}
FORMATS(groupedMatMul, (View c, View a, View aScale, View b, View bScale, View offsets, int *bad),
	(c, a, aScale, b, bScale, offsets, bad))

template <class F>
__device__ void groupedOuter(const View &c, const View &a, const View &b, const View &offsets, int *bad) {
	typedef typename F::Number T;
	int x = threadIdx.x % Tile, y = threadIdx.x / Tile;
	long long m = c.shape[2], n = c.shape[3];
	long long across = (n + Tile - 1) / Tile, down = (m + Tile - 1) / Tile;
	for (long long tile = blockIdx.x; tile < across * down * c.shape[1]; tile += gridDim.x) {
		long long e = tile / (across * down);
		Group g = group(offsets, e, a.shape[2], bad);
		if (g.lo == g.hi) continue;
		long long i = tile / across % down * Tile + y, j = tile % across * Tile + x;
		long long to = e * c.strides[1] + i * c.strides[2] + j * c.strides[3];
		bool inside = i < m && j < n;
		Operand left = transposed(rowsFrom(operand(a, a, 0, 0), g.lo)), right = rowsFrom(operand(b, b, 0, 0), g.lo);
		T sum = product<F>(left, right, i, j, m, n, g.hi - g.lo, inside ? load<T>(c, to) : (T)0);
		if (inside) store(c, to, sum);
	}
}
TRAINING(groupedOuter, (View c, View a, View b, View offsets, int *bad), (c, a, b, offsets, bad))
