// backend.Attention: one block a query row and head. Keys come in segments that are
// counted from the row's first one. A segment's scores are one thread each, its
// output a chain over its keys for each column, and it merges with those before it:
// no sum depends on where keys lie or on other rows (Milakov and Gimelshein 2018,
// Dao et al. 2022).
#include "attention.cuh"

// paged reports whether the window begins with a page and its pages lie within the key
// rows. What does not is reported.
__device__ inline bool paged(const View &pages, Window w, long long rows, int *bad) {
	if (w.first % SEGMENT != 0) return valid(w.first, 0, bad);
	for (long long j = 0; j < w.n; j += SEGMENT) {
		long long page = integer(pages, (w.first + j) / SEGMENT * pages.strides[3]);
		long long last = page * SEGMENT + (w.n - j < SEGMENT ? w.n - j : SEGMENT) - 1;
		if (!valid(page, rows, bad) || !valid(last, rows, bad)) return false;
	}
	return true;
}

template <class T> __device__ void attention(const View &o, const View &lse, const View &q, const View &k,
		const View &v, const View &start, const View &len, const View &pages, double scale, int *bad) {
	__shared__ T weights[SEGMENT];
	int thread = threadIdx.x;
	long long heads = q.shape[2], group = heads / k.shape[2], dv = v.shape[3], span = COLUMNS * blockDim.x;
	for (long long unit = blockIdx.x; unit < q.shape[1] * heads; unit += gridDim.x) {
		long long i = unit / heads, h = unit % heads, g = h / group, query = row(q, i, h), to = row(o, i, h);
		Window w = window(start, len, i, pages.data ? pages.shape[3] * SEGMENT : k.shape[1], bad);
		if (pages.data && !paged(pages, w, k.shape[1], bad)) w.n = 0;
		for (long long from = 0; from == 0 || from < dv; from += span) {
			T m = -infinity<T>(), sum = 0, out[COLUMNS] = {};
			for (long long j = 0; j < w.n; j += SEGMENT) {
				int n = w.n - j < SEGMENT ? (int)(w.n - j) : SEGMENT;
				long long first = w.first + j;
				if (pages.data) first = integer(pages, first / SEGMENT * pages.strides[3]) * (long long)SEGMENT;
				long long keys = row(k, first, g), values = row(v, first, g);
				T s = product<T>(q.shape[3], n, [&](long long c) { return at<T>(q, query, c); },
					[&](int t, long long c) { return at<T>(k, keys + t * k.strides[1], c); });
				s = thread < n ? s * (T)scale : -infinity<T>();
				T top = fold(s, Larger<T>());
				T p = thread < n ? exponential(s - (top == -infinity<T>() ? (T)0 : top)) : (T)0;
				T total = fold(p, Plus<T>());
				if (thread < n) weights[thread] = p;
				__syncthreads();
				T all = larger(m, top), base = all == -infinity<T>() ? (T)0 : all;
				T before = exponential(m - base), now = exponential(top - base);
				m = all;
				sum = sum * before + total * now;
				for (int u = 0; u < COLUMNS; u++) {
					long long c = from + u * blockDim.x + thread;
					if (c >= dv) break;
					T part = 0;
					for (int t = 0; t < n; t++) part = fused(weights[t], at<T>(v, values + t * v.strides[1], c), part);
					out[u] = out[u] * before + part * now;
				}
			}
			for (int u = 0; u < COLUMNS; u++) {
				long long c = from + u * blockDim.x + thread;
				if (c < dv) store(o, to + c * o.strides[3], w.n > 0 ? out[u] / sum : (T)0);
			}
			if (from == 0 && thread == 0)
				store(lse, i * lse.strides[2] + h * lse.strides[3], w.n > 0 ? m + logarithm(sum) : -infinity<T>());
		}
	}
}
KERNELS(attention,
	(View o, View lse, View q, View k, View v, View start, View len, View pages, double scale, int *bad),
	(o, lse, q, k, v, start, len, pages, scale, bad))
