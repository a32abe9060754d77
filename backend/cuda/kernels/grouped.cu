// backend.GroupedMatMul and GroupedOuter, with the tiles of MatMul.
#include "product.cuh"

// Group is rows [lo, hi) of a ragged op.
struct Group { long long lo, hi; };

// group returns group e. If its first row or its number of rows is out of
// range, it reports that in bad and returns an empty group.
__device__ inline Group group(const View &offsets, long long e, long long rows, int *bad) {
	int lo = integer(offsets, e * offsets.strides[3]), hi = integer(offsets, (e + 1) * offsets.strides[3]);
	if (valid(lo, rows + 1, bad) && valid(hi - lo, rows - lo + 1, bad)) return {lo, hi};
	return {0, 0};
}

// A tile lies within one group. Tiles are numbered group by group, and within a
// group row by row.
template <class Tile>
__device__ void groupedMatMul(typename Tile::Shared &s, const View &c, const View &a, const View &aScale,
		const View &b, const View &bScale, const View &offsets, int *bad) {
	long long n = c.shape[3], across = (n + Tile::Columns - 1) / Tile::Columns, begin = 0; // begin counts tiles
	for (long long e = 0; e < offsets.shape[3] - 1; e++) {
		Group g = group(offsets, e, c.shape[2], bad);
		long long m = g.hi - g.lo, tiles = (m + Tile::Rows - 1) / Tile::Rows * across;
		long long first = (blockIdx.x - begin % gridDim.x + gridDim.x) % gridDim.x;
		for (long long tile = first; tile < tiles; tile += gridDim.x)
			compute<Tile>(s, c, g.lo * c.strides[2], rowsFrom(operand(a, aScale, 0, 0), g.lo), operand(b, bScale, 0, e),
				tile / across * Tile::Rows, tile % across * Tile::Columns, m, n, a.shape[3], false);
		begin += tiles;
	}
}
FORMATS(groupedMatMul, (View c, View a, View aScale, View b, View bScale, View offsets, int *bad),
	(c, a, aScale, b, bScale, offsets, bad))

template <class Tile>
__device__ void groupedOuter(typename Tile::Shared &s, const View &c, const View &a, const View &b,
		const View &offsets, int *bad) {
	long long m = c.shape[2], n = c.shape[3];
	long long across = (n + Tile::Columns - 1) / Tile::Columns, down = (m + Tile::Rows - 1) / Tile::Rows;
	for (long long tile = blockIdx.x; tile < across * down * c.shape[1]; tile += gridDim.x) {
		long long e = tile / (across * down);
		Group g = group(offsets, e, a.shape[2], bad);
		if (g.lo == g.hi) continue;
		compute<Tile>(s, c, e * c.strides[1], transposed(rowsFrom(operand(a, a, 0, 0), g.lo)),
			rowsFrom(operand(b, b, 0, 0), g.lo), tile / across % down * Tile::Rows, tile % across * Tile::Columns,
			m, n, g.hi - g.lo, true);
	}
}
TRAINING(groupedOuter, (View c, View a, View b, View offsets, int *bad), (c, a, b, offsets, bad))
