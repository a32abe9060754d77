// backend.AttentionGrad: one block a query row and head for DQ, whose sum runs over
// keys, and one a key row and head for DK and DV, whose sums run over query heads and
// then query rows. Both compute the probabilities anew.
#include "attention.cuh"

template <class T> __device__ void attentionGradQuery(const View &dq, const View &dout, const View &o,
		const View &lse, const View &q, const View &k, const View &v, const View &start, const View &len, double scale,
		int *bad) {
	__shared__ T weights[SEGMENT];
	long long heads = q.shape[2], group = heads / k.shape[2], d = q.shape[3], dv = v.shape[3];
	for (long long unit = blockIdx.x; unit < q.shape[1] * heads; unit += gridDim.x) {
		long long i = unit / heads, h = unit % heads, g = h / group;
		long long query = row(q, i, h), slope = row(dout, i, h), output = row(o, i, h), to = row(dq, i, h);
		Window w = window(start, len, i, k.shape[1], bad);
		T logSum = at<T>(lse, i * lse.strides[2], h), delta = 0;
		for (long long c = threadIdx.x; w.n > 0 && c < dv; c += blockDim.x)
			delta = fused(at<T>(dout, slope, c), at<T>(o, output, c), delta);
		delta = fold(delta, Plus<T>());
		for (long long from = 0; from < d; from += COLUMNS * blockDim.x) {
			T sum[COLUMNS] = {};
			for (long long j = 0; j < w.n; j += SEGMENT) {
				int n = w.n - j < SEGMENT ? (int)(w.n - j) : SEGMENT;
				long long keys = row(k, w.first + j, g), values = row(v, w.first + j, g);
				T s = product<T>(d, n, [&](long long c) { return at<T>(q, query, c); },
					[&](int t, long long c) { return at<T>(k, keys + t * k.strides[1], c); });
				T dp = product<T>(dv, n, [&](long long c) { return at<T>(dout, slope, c); },
					[&](int t, long long c) { return at<T>(v, values + t * v.strides[1], c); });
				__syncthreads(); // those that still read the last weights
				if (threadIdx.x < n)
					weights[threadIdx.x] = exponential(s * (T)scale - logSum) * (dp - delta) * (T)scale;
				__syncthreads();
				for (int u = 0; u < COLUMNS; u++) {
					long long c = from + u * blockDim.x + threadIdx.x;
					for (int t = 0; c < d && t < n; t++)
						sum[u] = fused(weights[t], at<T>(k, keys + t * k.strides[1], c), sum[u]);
				}
			}
			for (int u = 0; u < COLUMNS; u++) {
				long long c = from + u * blockDim.x + threadIdx.x;
				if (c < d) store(dq, to + c * dq.strides[3], sum[u]);
			}
		}
	}
}
KERNELS(attentionGradQuery,
	(View dq, View dout, View o, View lse, View q, View k, View v, View start, View len, double scale, int *bad),
	(dq, dout, o, lse, q, k, v, start, len, scale, bad))

// addWeighted adds to each column of sum the rows of v at place p that are seen, times
// their weights.
template <class T> __device__ void addWeighted(T (&sum)[COLUMNS], const T *weights, const bool *seen, int n,
		const View &v, long long p, long long from) {
	for (int u = 0; u < COLUMNS; u++) {
		long long c = from + u * blockDim.x + threadIdx.x;
		for (int t = 0; c < v.shape[3] && t < n; t++)
			if (seen[t]) sum[u] = fused(weights[t], at<T>(v, p + t * v.strides[1], c), sum[u]);
	}
}

// writeSums writes the columns from one on of the row at place p.
template <class T> __device__ void writeSums(const T (&sum)[COLUMNS], const View &v, long long p, long long from) {
	for (int u = 0; u < COLUMNS; u++) {
		long long c = from + u * blockDim.x + threadIdx.x;
		if (c < v.shape[3]) store(v, p + c * v.strides[3], sum[u]);
	}
}

template <class T> __device__ void attentionGradKey(const View &dk, const View &dv, const View &dout, const View &o,
		const View &lse, const View &q, const View &k, const View &v, const View &start, const View &len, double scale,
		int *bad) {
	__shared__ T weights[SEGMENT], scores[SEGMENT];
	__shared__ bool seen[SEGMENT];
	int thread = threadIdx.x;
	long long groups = k.shape[2], group = q.shape[2] / groups, rows = q.shape[1], d = k.shape[3], width = v.shape[3];
	for (long long unit = blockIdx.x; unit < k.shape[1] * groups; unit += gridDim.x) {
		long long r = unit / groups, g = unit % groups, key = row(k, r, g), value = row(v, r, g);
		for (long long from = 0; from < d || from < width; from += COLUMNS * blockDim.x) {
			T sumK[COLUMNS] = {}, sumV[COLUMNS] = {};
			for (long long h = g * group; h < (g + 1) * group; h++) {
				for (long long i = 0; i < rows; i += SEGMENT) {
					int n = rows - i < SEGMENT ? (int)(rows - i) : SEGMENT;
					bool sees = false;
					if (thread < n) {
						Window w = window(start, len, i + thread, k.shape[1], bad);
						sees = r >= w.first && r < w.first + w.n;
					}
					if (!__syncthreads_or(sees)) continue;
					long long queries = row(q, i, h), slopes = row(dout, i, h), outputs = row(o, i, h);
					T s = product<T>(d, n, [&](long long c) { return at<T>(k, key, c); },
						[&](int t, long long c) { return at<T>(q, queries + t * q.strides[1], c); });
					T dp = product<T>(width, n, [&](long long c) { return at<T>(v, value, c); },
						[&](int t, long long c) { return at<T>(dout, slopes + t * dout.strides[1], c); });
					T delta = product<T>(width, n, [](long long) { return (T)1; }, [&](int t, long long c) {
						return at<T>(dout, slopes + t * dout.strides[1], c) * at<T>(o, outputs + t * o.strides[1], c);
					});
					if (thread < n) {
						T p = exponential(s * (T)scale - at<T>(lse, (i + thread) * lse.strides[2], h));
						seen[thread] = sees;
						scores[thread] = p;
						weights[thread] = p * (dp - delta) * (T)scale;
					}
					__syncthreads();
					addWeighted(sumK, weights, seen, n, q, queries, from);
					addWeighted(sumV, scores, seen, n, dout, slopes, from);
				}
			}
			writeSums(sumK, dk, row(dk, r, g), from);
			writeSums(sumV, dv, row(dv, r, g), from);
		}
	}
}
// Budget of attentionGradKey: 224 registers, one block a multiprocessor.
KERNELS(attentionGradKey,
	(View dk, View dv, View dout, View o, View lse, View q, View k, View v, View start, View len, double scale,
		int *bad),
	(dk, dv, dout, o, lse, q, k, v, start, len, scale, bad))
