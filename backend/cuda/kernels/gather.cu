// backend.Gather, Scatter, GatherLast and ScatterLast.
#include "view.cuh"

// zero sets all bits of an element to zero.
__device__ inline void zero(const View &y, long long to) {
	switch (y.dtype) {
	case F64: ((double *)y.data)[to] = 0; break;
	case F32:
	case I32: ((int *)y.data)[to] = 0; break;
	case BF16:
	case F16: ((unsigned short *)y.data)[to] = 0; break;
	default: y.data[to] = 0;
	}
}

// element copies one element. If the dtypes differ, it rounds or widens it.
__device__ inline void element(const View &y, long long to, const View &x, long long from) {
	if (y.dtype == x.dtype) move(y, to, x, from);
	else store(y, to, load<float>(x, from));
}

extern "C" __global__ void gather(View y, View x, View index, int *bad) {
	EACH(n, length(y)) {
		long long i = n / y.shape[3], j = n % y.shape[3], to = i * y.strides[2] + j * y.strides[3];
		int id = integer(index, i * index.strides[3]);
		if (id < 0) zero(y, to);
		else if (valid(id, x.shape[2], bad)) element(y, to, x, id * x.strides[2] + j * x.strides[3]);
	}
}

// One thread per column, so that rows are written in ascending order.
extern "C" __global__ void scatter(View y, View x, View index, int *bad) {
	EACH(j, y.shape[3]) {
		for (long long i = 0; i < index.shape[3]; i++) {
			int id = integer(index, i * index.strides[3]);
			if (id < 0 || !valid(id, y.shape[2], bad)) continue;
			element(y, id * y.strides[2] + j * y.strides[3], x, i * x.strides[2] + j * x.strides[3]);
		}
	}
}

template <class T> __device__ void scatterAdd(const View &y, const View &x, const View &index, int *bad) {
	EACH(j, y.shape[3]) {
		for (long long i = 0; i < index.shape[3]; i++) {
			int id = integer(index, i * index.strides[3]);
			if (id < 0 || !valid(id, y.shape[2], bad)) continue;
			long long to = id * y.strides[2] + j * y.strides[3];
			store(y, to, load<T>(y, to) + load<T>(x, i * x.strides[2] + j * x.strides[3]));
		}
	}
}
KERNELS(scatterAdd, (View y, View x, View index, int *bad), (y, x, index, bad))
extern "C" __global__ void scatterAdd_i32(View y, View x, View index, int *bad) { scatterAdd<int>(y, x, index, bad); }

template <class T> __device__ void gatherLast(const View &y, const View &x, const View &index, int *bad) {
	EACH(n, length(index)) {
		long long i = n / index.shape[3], j = n % index.shape[3], to = i * y.strides[2] + j * y.strides[3];
		int id = integer(index, i * index.strides[2] + j * index.strides[3]);
		if (id < 0) store(y, to, (T)0);
		else if (valid(id, x.shape[3], bad)) store(y, to, load<T>(x, i * x.strides[2] + id * x.strides[3]));
	}
}
KERNELS(gatherLast, (View y, View x, View index, int *bad), (y, x, index, bad))

// One thread per row, so that columns are added in ascending order.
template <class T> __device__ void scatterLast(const View &y, const View &x, const View &index, int *bad) {
	EACH(i, index.shape[2]) {
		for (long long j = 0; j < index.shape[3]; j++) {
			int id = integer(index, i * index.strides[2] + j * index.strides[3]);
			if (id < 0 || !valid(id, y.shape[3], bad)) continue;
			long long to = i * y.strides[2] + id * y.strides[3];
			store(y, to, load<T>(y, to) + load<T>(x, i * x.strides[2] + j * x.strides[3]));
		}
	}
}
KERNELS(scatterLast, (View y, View x, View index, int *bad), (y, x, index, bad))
