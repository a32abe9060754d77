// backend.Random: Philox4x32-10, four elements per thread.
#include "view.cuh"
#include "philox.cuh"

template <class T>
__device__ void random(const View &dst, unsigned long long seed, unsigned long long stream, int normal) {
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
