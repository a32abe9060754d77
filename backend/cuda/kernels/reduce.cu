// backend.Reduce, Softmax and TopK: one team per row. A thread combines every
// size-th element in ascending order, then the results of the threads are
// combined. So the order depends on the row's length alone.
#include "view.cuh"
#include "best.cuh"

template <class T> __device__ void reduce(const View &y, const View &x, int fn) {
	eachRow(length(y), x.shape[3], [&](auto team, long long row) {
		Index k = unravel(y, row); // of x without its last dimension
		long long from = k.i[1] * x.strides[0] + k.i[2] * x.strides[1] + k.i[3] * x.strides[2];
		T sum = fn == ReduceMax ? -infinity<T>() : (T)0;
		for (long long j = team.rank(); j < x.shape[3]; j += team.size()) {
			T v = load<T>(x, from + j * x.strides[3]);
			sum = fn == ReduceMax ? larger(sum, v) : fn == SumSquares ? fused(v, v, sum) : sum + v;
		}
		sum = fn == ReduceMax ? team.fold(sum, Larger<T>()) : team.fold(sum, Plus<T>());
		if (team.rank() == 0) store(y, at(y, k), sum);
	});
}
KERNELS(reduce, (View y, View x, int fn), (y, x, fn))

template <class T> __device__ void softmax(const View &y, const View &x) {
	eachRow(x.shape[0] * x.shape[1] * x.shape[2], x.shape[3], [&](auto team, long long row) {
		Index k = unravel(x, row * x.shape[3]);
		long long from = at(x, k), to = at(y, k);
		T top = -infinity<T>(), sum = 0;
		for (long long j = team.rank(); j < x.shape[3]; j += team.size())
			top = larger(top, load<T>(x, from + j * x.strides[3]));
		top = team.fold(top, Larger<T>());
		for (long long j = team.rank(); j < x.shape[3]; j += team.size())
			sum += exponential(load<T>(x, from + j * x.strides[3]) - top);
		sum = team.fold(sum, Plus<T>());
		for (long long j = team.rank(); j < x.shape[3]; j += team.size())
			store(y, to + j * y.strides[3], exponential(load<T>(x, from + j * x.strides[3]) - top) / sum);
	});
}
KERNELS(softmax, (View y, View x), (y, x))

template <class T> __device__ void topK(const View &values, const View &index, const View &x) {
	eachRow(index.shape[2], x.shape[3], [&](auto team, long long row) {
		auto element = [&](long long j) { return load<T>(x, row * x.strides[2] + j * x.strides[3]); };
		Best<T> best = everything<T>();
		for (long long k = 0; k < index.shape[3]; k++) {
			best = next(team, element, x.shape[3], best);
			if (team.rank() != 0) continue;
			store(index, row * index.strides[2] + k * index.strides[3], (int)best.id);
			if (values.data) store(values, row * values.strides[2] + k * values.strides[3], best.value);
		}
	});
}
KERNELS(topK, (View values, View index, View x), (values, index, x))
