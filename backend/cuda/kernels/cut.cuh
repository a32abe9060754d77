// The first elements of a row, by falling value and, among equals, rising index, that
// hold enough together. Nothing is sorted: what is sought is found bit by bit, with a
// sum over the row for each. A sum of numbers that are not negative, in a fixed order,
// does not fall when one of them grows from 0, so the search is exact.
#pragma once
#include "fold.cuh"

// key orders numbers as their values do: −0 equals 0, and no number but NaN has key 0.
__device__ inline unsigned key(float x) {
	unsigned bits = __float_as_uint(x == 0 ? 0 : x);
	return bits >> 31 ? ~bits : bits | 1u << 31;
}
__device__ inline unsigned long long key(double x) {
	unsigned long long bits = (unsigned long long)__double_as_longlong(x == 0 ? 0 : x);
	return bits >> 63 ? ~bits : bits | 1ull << 63;
}

// sum is Σ f(i) over i < n, in all threads of the block.
template <class F> __device__ double sum(F f, long long n) {
	double total = 0;
	for (long long i = threadIdx.x; i < n; i += blockDim.x) total += f(i);
	return fold(total, Plus<double>());
}

// firstWith is the lowest id for which enough(id) holds, n - 1 if it holds for none
// below. What holds for an id holds for those above.
template <class F> __device__ long long firstWith(F enough, long long n) {
	long long low = 0, high = n - 1;
	while (low < high) {
		long long middle = (low + high) / 2;
		if (enough(middle)) high = middle;
		else low = middle + 1;
	}
	return low;
}

// Cut keeps the elements that do not rank after the one of the given key and index.
template <class T> struct Cut {
	decltype(key(T())) last = 0; // keeps all
	long long id = 0;

	__device__ bool keeps(T z, long long i) const { return key(z) > last || (key(z) == last && i <= id); }
};

// cut keeps the first of the n elements z(i) whose weights w(i) sum to need, or all if
// there is not that much.
template <class T, class Z, class W> __device__ Cut<T> cut(Z z, W w, long long n, double need) {
	Cut<T> c;
	decltype(c.last) one = 1;
	for (int bit = 8 * sizeof(T) - 1; bit >= 0; bit--) {
		auto lowest = c.last | one << bit;
		if (sum([&](long long i) { return key(z(i)) >= lowest ? w(i) : 0.0; }, n) >= need) c.last = lowest;
	}
	c.id = firstWith([&](long long id) {
		Cut<T> to = {c.last, id};
		return sum([&](long long i) { return to.keeps(z(i), i) ? w(i) : 0.0; }, n) >= need;
	}, n);
	return c;
}
