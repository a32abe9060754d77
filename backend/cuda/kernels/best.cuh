// The largest element of a row. Of equal elements the first is the largest, and
// NaN counts as −Inf.
#pragma once
#include "fold.cuh"

// Best is an element of a row and its index.
template <class T> struct Best {
	T value;
	long long id;
};

// before reports whether a ranks before b.
template <class T> __device__ inline bool before(const Best<T> &a, const Best<T> &b) {
	return a.value > b.value || (a.value == b.value && a.id < b.id);
}

template <class T> struct First {
	__device__ Best<T> operator()(const Best<T> &a, const Best<T> &b) const { return before(b, a) ? b : a; }
};

// everything returns a value that ranks before all elements.
template <class T> __device__ inline Best<T> everything() { return {infinity<T>(), -1}; }

// next returns, in all threads of the team, the first of the n elements x(i)
// that rank after last. There must be one.
template <class T, class Team, class X> __device__ Best<T> next(Team team, X x, long long n, const Best<T> &last) {
	Best<T> best = {-infinity<T>(), n};
	for (long long i = team.rank(); i < n; i += team.size()) {
		T v = x(i);
		Best<T> candidate = {v != v ? -infinity<T>() : v, i};
		if (before(last, candidate) && before(candidate, best)) best = candidate;
	}
	return team.fold(best, First<T>());
}
