// Ranks of elements within a row, for rows as short as those of experts.
#pragma once

// rank returns how many of the n elements x(j) rank before the value v at index
// i: those that are larger, and equal ones of lower index. NaN is never
// counted, and v must not be NaN.
template <class T, class X> __device__ long long rank(X x, long long n, T v, long long i) {
	long long place = 0;
	for (long long j = 0; j < n; j++) {
		T other = x(j);
		place += other > v || (other == v && j < i);
	}
	return place;
}
