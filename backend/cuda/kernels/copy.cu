// backend.Copy between dtypes.
#include "view.cuh"

extern "C" __global__ void copy(View dst, View src) {
	EACH(n, length(dst)) {
		Index k = unravel(dst, n);
		long long to = at(dst, k), from = at(src, k);
		if (dst.dtype == src.dtype && dst.dtype == F64) ((double *)dst.data)[to] = ((const double *)src.data)[from];
		else if (dst.dtype == F64 || dst.dtype == I32 || src.dtype == F64 || src.dtype == I32)
			store(dst, to, load<double>(src, from));
		else store(dst, to, load<float>(src, from));
	}
}
