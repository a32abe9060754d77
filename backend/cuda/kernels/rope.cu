// backend.RoPE: one pair, or one element that is not rotated, per thread.
#include "rope.cuh"

template <class T> __device__ void rope(const View &y, const View &x, const View &pos, const Rotation &r, int *bad) {
	long long heads = x.shape[2], still = x.shape[3] - 2 * r.half(), items = still + r.half();
	EACH(n, x.shape[1] * heads * items) {
		long long i = n / items / heads, h = n / items % heads, j = n % items;
		long long from = i * x.strides[1] + h * x.strides[2], to = i * y.strides[1] + h * y.strides[2];
		if (j < still) {
			store(y, to + j * y.strides[3], load<T>(x, from + j * x.strides[3]));
			continue;
		}
		int p = integer(pos, i * pos.strides[3]);
		if (!valid(p, r.cos.shape[2], bad)) continue;
		long long k = j - still, first = still + r.first(k), second = still + r.second(k);
		T a = load<T>(x, from + first * x.strides[3]), b = load<T>(x, from + second * x.strides[3]);
		r.turn(a, b, p, k);
		store(y, to + first * y.strides[3], a);
		store(y, to + second * y.strides[3], b);
	}
}
KERNELS(rope, (View y, View x, View pos, View cos, View sin, int interleaved, int inverse, int *bad),
	(y, x, pos, Rotation{cos, sin, interleaved, inverse}, bad))
