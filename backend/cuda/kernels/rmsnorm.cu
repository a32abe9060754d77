// backend.RMSNorm and RMSNormGrad: one team per row and, for DW, one block per
// 32 columns.
#include "view.cuh"
#include "fold.cuh"

template <class T> __device__ void rmsNorm(const View &y, const View &rstd, const View &x, const View &w,
		double eps) {
	long long d = x.shape[3];
	eachRow(x.shape[2], d, [&](auto team, long long i) {
		long long from = i * x.strides[2], to = i * y.strides[2];
		T sum = 0;
		for (long long j = team.rank(); j < d; j += team.size()) {
			T v = load<T>(x, from + j * x.strides[3]);
			sum = fused(v, v, sum);
		}
		sum = team.fold(sum, Plus<T>());
		T r = (T)1 / root(sum / (T)d + (T)eps);
		for (long long j = team.rank(); j < d; j += team.size())
			store(y, to + j * y.strides[3], load<T>(x, from + j * x.strides[3]) * r * load<T>(w, j * w.strides[3]));
		if (team.rank() == 0) store(rstd, i * rstd.strides[3], r);
	});
}
KERNELS(rmsNorm, (View y, View rstd, View x, View w, double eps), (y, rstd, x, w, eps))

template <class T> __device__ void rmsNormGrad(const View &dx, const View &dy, const View &x, const View &w,
		const View &rstd) {
	long long d = x.shape[3];
	eachRow(x.shape[2], d, [&](auto team, long long i) {
		T r = load<T>(rstd, i * rstd.strides[3]), sum = 0;
		for (long long j = team.rank(); j < d; j += team.size()) {
			T u = load<T>(w, j * w.strides[3]) * load<T>(dy, i * dy.strides[2] + j * dy.strides[3]);
			sum = fused(u, load<T>(x, i * x.strides[2] + j * x.strides[3]) * r, sum);
		}
		T mean = team.fold(sum, Plus<T>()) / (T)d;
		for (long long j = team.rank(); j < d; j += team.size()) {
			T u = load<T>(w, j * w.strides[3]) * load<T>(dy, i * dy.strides[2] + j * dy.strides[3]);
			T normal = load<T>(x, i * x.strides[2] + j * x.strides[3]) * r;
			store(dx, i * dx.strides[2] + j * dx.strides[3], r * (u - normal * mean));
		}
	});
}
KERNELS(rmsNormGrad, (View dx, View dy, View x, View w, View rstd), (dx, dy, x, w, rstd))

// The rows of a column are divided among ROWS threads. Each adds up every
// ROWS-th row in ascending order.
enum { COLUMNS = 32, ROWS = 8 };

template <class T> __device__ void rmsNormGradWeight(const View &dw, const View &dy, const View &x,
		const View &rstd) {
	__shared__ T part[ROWS][COLUMNS];
	int column = threadIdx.x % COLUMNS, row = threadIdx.x / COLUMNS;
	for (long long group = blockIdx.x; group * COLUMNS < dw.shape[3]; group += gridDim.x) {
		long long j = group * COLUMNS + column;
		T sum = 0;
		for (long long i = row; i < x.shape[2] && j < dw.shape[3]; i += ROWS) {
			T normal = load<T>(x, i * x.strides[2] + j * x.strides[3]) * load<T>(rstd, i * rstd.strides[3]);
			sum = fused(load<T>(dy, i * dy.strides[2] + j * dy.strides[3]), normal, sum);
		}
		part[row][column] = sum;
		__syncthreads();
		if (row == 0 && j < dw.shape[3]) {
			for (int i = 1; i < ROWS; i++) sum += part[i][column];
			store(dw, j * dw.strides[3], load<T>(dw, j * dw.strides[3]) + sum);
		}
		__syncthreads();
	}
}
KERNELS(rmsNormGradWeight, (View dw, View dy, View x, View rstd), (dw, dy, x, rstd))
