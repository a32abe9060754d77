// backend.MLAKeys and MLAKeysGrad: one element or pair per thread.
#include "rope.cuh"

// place returns the offset of row i of head h in v [N, H, D].
__device__ inline long long place(const View &v, long long i, long long h) {
	return i * v.strides[1] + h * v.strides[2];
}

template <class T> __device__ void copyElement(const View &to, long long p, const View &from, long long q) {
	store(to, p, load<T>(from, q));
}

// A head consists of key elements without a position, pairs that are rotated
// and, if v is present, value elements.
template <class T> __device__ void mlaKeys(const View &k, const View &v, const View &up, const View &kr,
		const View &pos, const View &row, const Rotation &r, int *bad) {
	long long heads = up.shape[2], half = r.half(), nope = k.shape[3] - 2 * half;
	long long items = nope + half + (v.data ? up.shape[3] - nope : 0);
	EACH(n, up.shape[1] * heads * items) {
		long long i = n / items / heads, h = n / items % heads, j = n % items, to = i;
		if (row.data) {
			to = integer(row, i * row.strides[3]);
			if (to < 0 || !valid(to, k.shape[1], bad)) continue;
		}
		long long from = place(up, i, h), key = place(k, to, h);
		if (j < nope) {
			copyElement<T>(k, key + j * k.strides[3], up, from + j * up.strides[3]);
		} else if (j < nope + half) {
			int p = integer(pos, i * pos.strides[3]);
			if (!valid(p, r.cos.shape[2], bad)) continue;
			long long pair = j - nope, first = r.first(pair), second = r.second(pair);
			T a = load<T>(kr, i * kr.strides[2] + first * kr.strides[3]);
			T b = load<T>(kr, i * kr.strides[2] + second * kr.strides[3]);
			r.turn(a, b, p, pair);
			store(k, key + (nope + first) * k.strides[3], a);
			store(k, key + (nope + second) * k.strides[3], b);
		} else {
			long long c = j - nope - half;
			copyElement<T>(v, place(v, to, h) + c * v.strides[3], up, from + (nope + c) * up.strides[3]);
		}
	}
}
KERNELS(mlaKeys,
	(View k, View v, View up, View kr, View pos, View row, View cos, View sin, int interleaved, int *bad),
	(k, v, up, kr, pos, row, Rotation{cos, sin, interleaved, 0}, bad))

template <class T> __device__ void mlaKeysGrad(const View &dUp, const View &dKR, const View &dK, const View &dV,
		const View &pos, const Rotation &r, int *bad) {
	long long heads = dUp.shape[2], width = dUp.shape[3], nope = dK.shape[3] - 2 * r.half();
	EACH(n, length(dUp)) {
		long long i = n / width / heads, h = n / width % heads, j = n % width;
		long long to = place(dUp, i, h) + j * dUp.strides[3];
		if (j < nope) copyElement<T>(dUp, to, dK, place(dK, i, h) + j * dK.strides[3]);
		else copyElement<T>(dUp, to, dV, place(dV, i, h) + (j - nope) * dV.strides[3]);
	}
	EACH(n, dKR.shape[2] * r.half()) {
		long long i = n / r.half(), k = n % r.half(), first = r.first(k), second = r.second(k);
		int p = integer(pos, i * pos.strides[3]);
		if (!valid(p, r.cos.shape[2], bad)) continue;
		T a = 0, b = 0;
		for (long long h = 0; h < heads; h++) {
			long long from = place(dK, i, h) + nope * dK.strides[3];
			a += load<T>(dK, from + first * dK.strides[3]);
			b += load<T>(dK, from + second * dK.strides[3]);
		}
		r.turn(a, b, p, k);
		store(dKR, i * dKR.strides[2] + first * dKR.strides[3], a);
		store(dKR, i * dKR.strides[2] + second * dKR.strides[3], b);
	}
}
KERNELS(mlaKeysGrad, (View dUp, View dKR, View dK, View dV, View pos, View cos, View sin, int interleaved, int *bad),
	(dUp, dKR, dK, dV, pos, Rotation{cos, sin, interleaved, 1}, bad))
