// backend.Random: Philox4x32-10, four elements a thread.
#include "view.cuh"

struct Words { unsigned w[4]; };

__device__ Words philox(unsigned long long key, unsigned long long hi, unsigned long long lo) {
	unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
	Words c = {{(unsigned)lo, (unsigned)(lo >> 32), (unsigned)hi, (unsigned)(hi >> 32)}};
	for (int round = 0; round < 10; round++) {
		unsigned long long p = 0xD2511F53ull * c.w[0], q = 0xCD9E8D57ull * c.w[2];
		c = {{(unsigned)(q >> 32) ^ c.w[1] ^ k0, (unsigned)q, (unsigned)(p >> 32) ^ c.w[3] ^ k1, (unsigned)p}};
		k0 += 0x9E3779B9;
		k1 += 0xBB67AE85;
	}
	return c;
}

template <class T> __device__ T uniform(unsigned word) {
	T u = (T)(word * 0x1p-32);
	return u < 1 ? u : (T)(1 - 0x1p-24);
}

template <class T> __device__ void random(const View &dst, unsigned long long seed, unsigned long long stream, int normal) {
	long long count = length(dst);
	EACH(block, (count + 3) / 4) {
		Words w = philox(seed, stream, block);
		T x[4];
		for (int i = 0; i < 4; i += 2) {
			if (normal) {
				double r = sqrt(-2 * log((w.w[i] + 1.0) * 0x1p-32)), angle = 6.283185307179586 * (w.w[i + 1] * 0x1p-32);
				x[i] = (T)(r * cos(angle));
				x[i + 1] = (T)(r * sin(angle));
			} else {
				x[i] = uniform<T>(w.w[i]);
				x[i + 1] = uniform<T>(w.w[i + 1]);
			}
		}
		for (int i = 0; i < 4 && 4 * block + i < count; i++) store(dst, 4 * block + i, x[i]);
	}
}
KERNELS(random, (View dst, unsigned long long seed, unsigned long long stream, int normal), (dst, seed, stream, normal))
