// backend.MatMul: a block of threads computes one tile of C at a time.
#include "product.cuh"

template <class Tile>
__device__ void matMul(typename Tile::Shared &s, const View &c, const View &a, const View &aScale, const View &b,
		const View &bScale, int accumulate) {
	long long m = c.shape[2], n = c.shape[3];
	long long across = (n + Tile::Columns - 1) / Tile::Columns, down = (m + Tile::Rows - 1) / Tile::Rows;
	for (long long tile = blockIdx.x; tile < across * down * c.shape[0] * c.shape[1]; tile += gridDim.x) {
		long long batch = tile / (across * down), e0 = batch / c.shape[1], e1 = batch % c.shape[1];
		compute<Tile>(s, c, e0 * c.strides[0] + e1 * c.strides[1], operand(a, aScale, e0, e1), operand(b, bScale, e0, e1),
			tile / across % down * Tile::Rows, tile % across * Tile::Columns, m, n, a.shape[3], accumulate);
	}
}
FORMATS(matMul, (View c, View a, View aScale, View b, View bScale, int accumulate),
	(c, a, aScale, b, bScale, accumulate))
