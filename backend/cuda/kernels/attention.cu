// backend.Attention: one warp per query row and head. Keys are processed in
// segments counted from the row's first key. A score is one chain over columns
// in one lane. A segment's output is, for each column, one chain over its keys,
// and is merged with that of the segments before. So no sum depends on where
// keys are stored or on other rows (Milakov and Gimelshein 2018, Dao et al.
// 2022).
#include "attention.cuh"

// paged reports whether the window starts at the start of a page and its pages
// lie within the key rows. If not, it reports the number at fault in bad.
__device__ inline bool paged(const View &pages, Window w, long long rows, int *bad) {
	if (w.first % SEGMENT != 0) return valid(w.first, 0, bad);
	for (long long j = 0; j < w.n; j += SEGMENT) {
		long long page = integer(pages, (w.first + j) / SEGMENT * pages.strides[3]);
		long long last = page * SEGMENT + (w.n - j < SEGMENT ? w.n - j : SEGMENT) - 1;
		if (!valid(page, rows, bad) || !valid(last, rows, bad)) return false;
	}
	return true;
}

// largest returns the largest x in the warp, or NaN if any x is NaN.
__device__ inline double largest(double x) { return foldWarp(x, Larger<double>()); }
__device__ inline float largest(float x) {
	int bits = __float_as_int(x != x ? notANumber<float>() : x); // as an integer, NaN is greater than +Inf
	bits = __reduce_max_sync(0xffffffffu, bits < 0 ? bits ^ 0x7fffffff : bits);
	return __int_as_float(bits < 0 ? bits ^ 0x7fffffff : bits);
}

// The other warps of the block process neighbouring rows, which see mostly the
// same keys.
template <class T> __device__ void attention(const View &o, const View &lse, const View &q, const View &k,
		const View &v, const View &start, const View &len, const View &pages, double scale, int *bad) {
	__shared__ T shared[MaxWarps][SEGMENT];
	T *weights = shared[threadIdx.x / 32];
	int lane = threadIdx.x % 32;
	long long rows = q.shape[1], heads = q.shape[2], group = heads / k.shape[2], dv = v.shape[3];
	EACH_WARP(unit, rows * heads) {
		long long i = unit % rows, h = unit / rows, g = h / group, query = row(q, i, h), to = row(o, i, h);
		Window w = window(start, len, i, pages.data ? pages.shape[3] * SEGMENT : k.shape[1], bad);
		if (pages.data && !paged(pages, w, k.shape[1], bad)) w.n = 0;
		for (long long from = lane; from == lane || from - lane < dv; from += 32 * columns<T>) {
			T m = -infinity<T>(), sum = 0, out[columns<T>] = {};
			for (long long j = 0; j < w.n; j += SEGMENT) {
				int n = w.n - j < SEGMENT ? (int)(w.n - j) : SEGMENT;
				long long first = w.first + j;
				if (pages.data) first = integer(pages, first / SEGMENT * pages.strides[3]) * (long long)SEGMENT;
				long long keys = row(k, first, g), values = row(v, first, g);
				T top = -infinity<T>();
				__syncwarp(); // wait for lanes that still read the last weights
				for (int t = lane; t < n; t += 32) {
					T s = dot<T>(q, query, k, keys + t * k.strides[1]) * (T)scale;
					top = larger(top, s);
					weights[t] = s;
				}
				top = largest(top);
				T shift = top == -infinity<T>() ? (T)0 : top;
				for (int t = lane; t < n; t += 32) weights[t] = exponential(weights[t] - shift);
				__syncwarp();
				T total = 0, part[columns<T>] = {};
				for (int t = 0; t < n; t++) {
					T p = weights[t];
					total += p;
					long long value = values + t * v.strides[1] + from;
					for (int u = 0; u < columns<T> && from + 32 * u < dv; u++)
						part[u] = fused(p, activation<T>(v, value + 32 * u), part[u]);
				}
				T all = larger(m, top), base = all == -infinity<T>() ? (T)0 : all;
				T before = exponential(m - base), now = exponential(top - base);
				m = all;
				sum = sum * before + total * now;
				for (int u = 0; u < columns<T>; u++) out[u] = out[u] * before + part[u] * now;
			}
			for (int u = 0; u < columns<T> && from + 32 * u < dv; u++)
				store(o, to + from + 32 * u, w.n > 0 ? out[u] / sum : (T)0);
			if (from == 0)
				store(lse, i * lse.strides[2] + h * lse.strides[3], w.n > 0 ? m + logarithm(sum) : -infinity<T>());
		}
	}
}
KERNELS(attention,
	(View o, View lse, View q, View k, View v, View start, View len, View pages, double scale, int *bad),
	(o, lse, q, k, v, start, len, pages, scale, bad))
