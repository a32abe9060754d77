// backend.AttentionGrad: one warp per query row and head for DQ, which is
// summed over keys, and one warp per key row and head for DK and DV, which are
// summed over query heads, then query rows. Both recompute the probabilities.
#include "attention.cuh"

// attentionGradDelta computes Δ [N, H], the product of the rows of DO and O.
template <class T> __device__ void attentionGradDelta(const View &delta, const View &dout, const View &o) {
	EACH(n, length(delta)) {
		long long i = n / delta.shape[3], h = n % delta.shape[3];
		store(delta, n, dot<T>(dout, row(dout, i, h), o, row(o, i, h)));
	}
}
KERNELS(attentionGradDelta, (View delta, View dout, View o), (delta, dout, o))

// attentionGradRange finds the query rows that see at least one of each 32 key
// rows. ranges [R/32, 2] holds the first such row and the row after the last.
extern "C" __global__ void attentionGradRange(View ranges, View start, View len, int rows, int *bad) {
	EACH_WARP(block, ranges.shape[2]) {
		int queries = (int)start.shape[3], first = queries, end = 0;
		for (int i = threadIdx.x % 32; i < queries; i += 32) {
			Window w = window(start, len, i, rows, bad);
			if (w.first >= 32 * (block + 1) || w.first + w.n <= 32 * block) continue;
			first = smaller(first, i);
			end = i + 1;
		}
		first = __reduce_min_sync(0xffffffffu, first);
		end = __reduce_max_sync(0xffffffffu, end);
		if (threadIdx.x % 32 != 0) continue;
		store(ranges, 2 * block, first);
		store(ranges, 2 * block + 1, end);
	}
}

template <class T> __device__ void attentionGradQuery(const View &dq, const View &dout, const View &delta,
		const View &lse, const View &q, const View &k, const View &v, const View &start, const View &len, double scale,
		int *bad) {
	__shared__ T shared[MaxWarps][SEGMENT];
	T *weights = shared[threadIdx.x / 32];
	int lane = threadIdx.x % 32;
	long long rows = q.shape[1], heads = q.shape[2], group = heads / k.shape[2], d = q.shape[3];
	EACH_WARP(unit, rows * heads) {
		long long i = unit % rows, h = unit / rows, g = h / group;
		long long query = row(q, i, h), slope = row(dout, i, h), to = row(dq, i, h);
		Window w = window(start, len, i, k.shape[1], bad);
		T logSum = statistic<T>(lse, i, h), own = statistic<T>(delta, i, h);
		for (long long from = lane; from - lane < d; from += 32 * columns<T>) {
			T sum[columns<T>] = {};
			for (long long j = 0; j < w.n; j += SEGMENT) {
				int n = w.n - j < SEGMENT ? (int)(w.n - j) : SEGMENT;
				long long keys = row(k, w.first + j, g), values = row(v, w.first + j, g);
				__syncwarp(); // wait for lanes that still read the last weights
				for (int t = lane; t < n; t += 32) {
					T s = dot<T>(q, query, k, keys + t * k.strides[1]);
					T dp = dot<T>(dout, slope, v, values + t * v.strides[1]);
					weights[t] = exponential(s * (T)scale - logSum) * (dp - own) * (T)scale;
				}
				__syncwarp();
				for (int t = 0; t < n; t++) {
					long long key = keys + t * k.strides[1] + from;
					for (int u = 0; u < columns<T> && from + 32 * u < d; u++)
						sum[u] = fused(weights[t], activation<T>(k, key + 32 * u), sum[u]);
				}
			}
			for (int u = 0; u < columns<T> && from + 32 * u < d; u++) store(dq, to + from + 32 * u, sum[u]);
		}
	}
}
KERNELS(attentionGradQuery,
	(View dq, View dout, View delta, View lse, View q, View k, View v, View start, View len, double scale, int *bad),
	(dq, dout, delta, lse, q, k, v, start, len, scale, bad))

// Each lane processes one of 32 query rows at a time. Rows that do not see the
// key are skipped.
template <class T> __device__ void attentionGradKey(const View &dk, const View &dv, const View &dout,
		const View &delta, const View &lse, const View &q, const View &k, const View &v, const View &start,
		const View &len, const View &ranges, double scale, int *bad) {
	__shared__ T shared[MaxWarps][2][32];
	T *scores = shared[threadIdx.x / 32][0], *weights = shared[threadIdx.x / 32][1];
	int lane = threadIdx.x % 32;
	long long rows = k.shape[1], groups = k.shape[2], group = q.shape[2] / groups, d = k.shape[3], width = v.shape[3];
	EACH_WARP(unit, rows * groups) {
		long long r = unit % rows, g = unit / rows, key = row(k, r, g), value = row(v, r, g);
		int begin = integer(ranges, r / 32 * 2), end = integer(ranges, r / 32 * 2 + 1);
		for (long long from = lane; from - lane < d || from - lane < width; from += 32 * columns<T>) {
			T sumK[columns<T>] = {}, sumV[columns<T>] = {};
			for (long long h = g * group; h < (g + 1) * group; h++) {
				for (int first = begin; first < end; first += 32) {
					int i = first + lane;
					bool sees = false;
					if (i < end) {
						Window w = window(start, len, i, rows, bad);
						sees = r >= w.first && r < w.first + w.n;
					}
					unsigned seeing = __ballot_sync(0xffffffffu, sees);
					__syncwarp(); // wait for lanes that still read the last weights
					if (sees) {
						T s = dot<T>(q, row(q, i, h), k, key), dp = dot<T>(dout, row(dout, i, h), v, value);
						T p = exponential(s * (T)scale - statistic<T>(lse, i, h));
						scores[lane] = p;
						weights[lane] = p * (dp - statistic<T>(delta, i, h)) * (T)scale;
					}
					__syncwarp();
					for (; seeing != 0; seeing &= seeing - 1) {
						int t = __ffs(seeing) - 1;
						long long query = row(q, first + t, h) + from, slope = row(dout, first + t, h) + from;
						for (int u = 0; u < columns<T> && from + 32 * u < d; u++)
							sumK[u] = fused(weights[t], activation<T>(q, query + 32 * u), sumK[u]);
						for (int u = 0; u < columns<T> && from + 32 * u < width; u++)
							sumV[u] = fused(scores[t], activation<T>(dout, slope + 32 * u), sumV[u]);
					}
				}
			}
			for (int u = 0; u < columns<T> && from + 32 * u < d; u++) store(dk, row(dk, r, g) + from + 32 * u, sumK[u]);
			for (int u = 0; u < columns<T> && from + 32 * u < width; u++) store(dv, row(dv, r, g) + from + 32 * u, sumV[u]);
		}
	}
}
// Budget of attentionGradKey: 168 registers, one block per multiprocessor.
KERNELS(attentionGradKey,
	(View dk, View dv, View dout, View delta, View lse, View q, View k, View v, View start, View len, View ranges,
		double scale, int *bad),
	(dk, dv, dout, delta, lse, q, k, v, start, len, ranges, scale, bad))
