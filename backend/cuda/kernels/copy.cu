// backend.Copy between dtypes. To I32, NaN becomes 0 and what is out of range the
// nearest end of it.
#include "view.cuh"

__device__ inline int toInteger(double x) {
	if (x != x) return 0;
	return x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? (-2147483647 - 1) : (int)x;
}

extern "C" __global__ void copy(View dst, View src) {
	EACH(n, length(dst)) {
		Index k = unravel(dst, n);
		long long to = at(dst, k), from = at(src, k);
		if (dst.dtype == src.dtype && dst.dtype == F64) ((double *)dst.data)[to] = ((const double *)src.data)[from];
		else if (dst.dtype == I32 && src.dtype != I32) ((int *)dst.data)[to] = toInteger(load<double>(src, from));
		else if (dst.dtype == F64 || src.dtype == F64 || src.dtype == I32) store(dst, to, load<double>(src, from));
		else store(dst, to, load<float>(src, from));
	}
}
