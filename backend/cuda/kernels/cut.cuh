// Finding, without sorting, the element at which the running sum of weights
// reaches a bound if elements are added in ascending order of their codes.
// Weights are not negative. The code is found digit by digit, with sums over
// all elements for each digit.
#pragma once
#include "fold.cuh"

// Digits holds a sum for each value of a digit.
struct Digits { double of[8]; };
struct PlusDigits {
	__device__ Digits operator()(const Digits &a, const Digits &b) const {
		Digits sum;
		for (int d = 0; d < 8; d++) sum.of[d] = a.of[d] + b.of[d];
		return sum;
	}
};

// reach returns the code of the first of the n elements at which the sum, which
// starts from base, satisfies reached, or of the last element whose weight is
// not 0. It sets base to the sum before that element. Codes are below 8 << top,
// and top must be a multiple of 3.
template <class C, class Team, class Code, class W, class R>
__device__ C reach(Team team, Code code, W weight, R reached, long long n, int top, double &base) {
	C found = 0;
	for (int shift = top; shift >= 0; shift -= 3) {
		Digits sums = {};
		for (long long i = team.rank(); i < n; i += team.size()) {
			C c = code(i) >> shift;
			if (c >> 3 == found) sums.of[c & 7] += weight(i);
		}
		sums = team.fold(sums, PlusDigits());
		C digit = 0;
		double sum = base;
		for (int d = 0; d < 8 && !reached(sum); d++) {
			if (sums.of[d] > 0) {
				digit = d;
				base = sum;
			}
			sum += sums.of[d];
		}
		found = found << 3 | digit;
	}
	return found;
}

// reachIndex is reach with the element's index as its code.
template <class Team, class W, class R>
__device__ long long reachIndex(Team team, W weight, R reached, long long n, double base) {
	int top = 0;
	while (n > 8ll << top) top += 3;
	return reach<long long>(team, [](long long i) { return i; }, weight, reached, n, top, base);
}

// fallingCode returns a code that is lower for larger x. −0 equals 0.
__device__ inline unsigned fallingCode(float x) {
	unsigned bits = __float_as_uint(x == 0 ? 0 : x);
	return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}
__device__ inline unsigned long long fallingCode(double x) {
	unsigned long long bits = (unsigned long long)__double_as_longlong(x == 0 ? 0 : x);
	return bits >> 63 ? bits : ~bits & 0x7fffffffffffffffull;
}

// Cut keeps the elements of a row up to a certain one, in descending order of
// values and, among equal values, ascending order of indices. Initially it
// keeps all.
template <class T> struct Cut {
	decltype(fallingCode(T())) code = ~decltype(fallingCode(T()))();
	long long id = 0;

	__device__ bool keeps(T z, long long i) const {
		auto c = fallingCode(z);
		return c < code || (c == code && i <= id);
	}
};

// cut keeps the first of the n elements z(i), in the order of Cut, whose
// weights sum to at least need, which must be greater than 0. If the sum of all
// weights is less, it keeps up to the last element whose weight is not 0.
template <class T, class Team, class Z, class W>
__device__ Cut<T> cut(Team team, Z z, W weight, long long n, double need) {
	auto reached = [&](double sum) { return sum >= need; };
	auto code = [&](long long i) { return fallingCode(z(i)); };
	Cut<T> c;
	double base = 0;
	c.code = reach<decltype(c.code)>(team, code, weight, reached, n, sizeof(T) == 4 ? 30 : 63, base);
	c.id = reachIndex(team, [&](long long i) { return code(i) == c.code ? weight(i) : 0.0; }, reached, n, base);
	return c;
}
