// backend.MoERoute, MoEDispatch, MoECombine and MoECombineGrad.
#include "view.cuh"
#include "fold.cuh"

// Each block handles one expert: its slots start after the assignments of all
// lower experts, and its own assignments follow in ascending order. The block
// after that of the last expert writes the end of the offsets.
extern "C" __global__ void moeRoute(View offsets, View perm, View inverse, View index, int *bad) {
	__shared__ int warps[8]; // number of assignments to the expert among the 32 of each warp
	long long count = length(index), experts = offsets.shape[3] - 1;
	int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
	for (long long e = blockIdx.x; e <= experts; e += gridDim.x) {
		int lower = 0;
		for (long long a = threadIdx.x; a < count; a += blockDim.x) {
			int id = integer(index, a);
			lower += valid(id, experts, bad) && id < e;
		}
		int slot = fold(lower, Plus<int>());
		if (threadIdx.x == 0) store(offsets, e, slot);
		for (long long first = 0; first < count && e < experts; first += blockDim.x) {
			long long a = first + threadIdx.x;
			bool own = a < count && integer(index, a) == e;
			unsigned lanes = __ballot_sync(0xffffffffu, own);
			if (lane == 0) warps[warp] = __popc(lanes);
			__syncthreads();
			int to = slot + __popc(lanes & ((1u << lane) - 1));
			for (int w = 0; w < 8; w++) {
				if (w < warp) to += warps[w];
				slot += warps[w];
			}
			if (own) {
				store(perm, to, (int)a);
				store(inverse, a, to);
			}
			__syncthreads();
		}
	}
}

// k is the number of experts per token.
extern "C" __global__ void moeDispatch(View y, View x, View perm, int k, int *bad) {
	EACH(n, length(y)) {
		long long s = n / y.shape[3], j = n % y.shape[3];
		int a = integer(perm, s);
		if (!valid(a, y.shape[2], bad)) continue;
		move(y, s * y.strides[2] + j * y.strides[3], x, a / k * x.strides[2] + j * x.strides[3]);
	}
}

template <class T> __device__ void moeCombine(const View &y, const View &x, const View &weight,
		const View &inverse, int *bad) {
	EACH(n, length(y)) {
		long long i = n / y.shape[3], j = n % y.shape[3], k = inverse.shape[3];
		T sum = 0;
		for (long long a = i * k; a < (i + 1) * k; a++) {
			int s = integer(inverse, a);
			if (!valid(s, x.shape[2], bad)) continue;
			T w = weight.data ? load<T>(weight, a) : (T)1;
			sum = fused(w, load<T>(x, s * x.strides[2] + j * x.strides[3]), sum);
		}
		store(y, i * y.strides[2] + j * y.strides[3], sum);
	}
}
KERNELS(moeCombine, (View y, View x, View weight, View inverse, int *bad), (y, x, weight, inverse, bad))

// One team per assignment.
template <class T> __device__ void moeCombineGrad(const View &dx, const View &dweight, const View &dy, const View &x,
		const View &weight, const View &inverse, int *bad) {
	eachRow(length(inverse), dy.shape[3], [&](auto team, long long a) {
		int s = integer(inverse, a);
		if (!valid(s, x.shape[2], bad)) return;
		long long i = a / inverse.shape[3];
		T w = load<T>(weight, a), sum = 0;
		for (long long j = team.rank(); j < dy.shape[3]; j += team.size()) {
			T g = load<T>(dy, i * dy.strides[2] + j * dy.strides[3]);
			sum = fused(g, load<T>(x, s * x.strides[2] + j * x.strides[3]), sum);
			store(dx, s * dx.strides[2] + j * dx.strides[3], w * g);
		}
		sum = team.fold(sum, Plus<T>());
		if (team.rank() == 0) store(dweight, a, sum);
	});
}
KERNELS(moeCombineGrad, (View dx, View dweight, View dy, View x, View weight, View inverse, int *bad),
	(dx, dweight, dy, x, weight, inverse, bad))
