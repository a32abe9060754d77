// The score of a row of logits. LogSumExp, LinearLogProb and Sample all score
// rows with it, chunk by chunk and with the team that eachRow chooses for the
// whole row, so that they agree bit for bit.
#pragma once
#include "constants.cuh"
#include "fold.cuh"

// Score is the running statistics of a row of logits z: m = max z, l = Σ
// exp(z−m) and a = Σ exp(z−m)·z. Initially it is the score of no logits.
template <class T> struct Score {
	T m = -infinity<T>(), l = 0, a = 0;

	// add merges the next VocabChunk logits of the row, or the last n of them,
	// z(0), …, z(n-1). All threads of the team must call it, and all get the
	// result. a stays 0 unless entropy is set. A masked logit, −Inf, adds 0 to
	// a.
	template <class Team, class Z> __device__ void add(Team team, Z z, int n, bool entropy) {
		T top = -infinity<T>(), sum = 0, moment = 0;
		for (int i = team.rank(); i < n; i += team.size()) top = larger(top, z(i));
		top = team.fold(top, Larger<T>());
		T shift = top == -infinity<T>() ? (T)0 : top;
		for (int i = team.rank(); i < n; i += team.size()) {
			T v = z(i), p = exponential(v - shift);
			sum += p;
			if (entropy && p != 0) moment = fused(p, v, moment);
		}
		sum = team.fold(sum, Plus<T>());
		if (entropy) moment = team.fold(moment, Plus<T>());
		T both = larger(m, top);
		if (both == -infinity<T>()) {
			l += sum; // 0
			return;
		}
		T old = exponential(m - both), next = exponential(top - both);
		m = both;
		l = l * old + sum * next;
		a = a * old + moment * next;
	}

	// row adds all n logits of a row.
	template <class Team, class Z> __device__ void row(Team team, Z z, long long n, bool entropy) {
		for (long long first = 0; first < n; first += VocabChunk)
			add(team, [&](int i) { return z(first + i); }, (int)smaller(n - first, (long long)VocabChunk), entropy);
	}

	__device__ T lse() const { return m + logarithm(l); }

	// entropy returns the entropy in nats.
	__device__ T entropy() const { return lse() - a / l; }
};
