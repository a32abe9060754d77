// backend.SequenceBalance and SequenceBalanceGrad. counts[q, e] is the number
// of tokens of sequence q that have expert e among their top K, totals[t] the
// sum of a token's scores.
#include "view.cuh"
#include "fold.cuh"
#include "rank.cuh"

// sequence returns the sequence of token t, or -1 if it is in none. starts must
// be in ascending order.
__device__ inline long long sequence(const View &starts, long long t) {
	long long q = 0, end = starts.shape[3]; // the last start at or before t is in [q, end)
	while (end - q > 1) {
		long long middle = (q + end) / 2;
		if (integer(starts, middle) <= t) q = middle;
		else end = middle;
	}
	return end < starts.shape[3] && integer(starts, q) <= t ? q : -1;
}

// balanceLoad returns f of expert e in a sequence of n tokens.
template <class T> __device__ T balanceLoad(const View &counts, long long q, long long e, int k, long long n) {
	return (T)integer(counts, q * counts.shape[3] + e) * ((T)counts.shape[3] / ((T)k * (T)n));
}

// One team per token. Integer sums do not depend on the order of blocks.
template <class T> __device__ void balanceCount(const View &counts, const View &totals, const View &scores,
		const View &starts, int k, int *bad) {
	long long tokens = scores.shape[2], experts = scores.shape[3];
	EACH(q, starts.shape[3]) valid(integer(starts, q), tokens + 1, bad);
	eachRow(tokens, experts, [&](auto team, long long t) {
		long long q = sequence(starts, t);
		if (q < 0) return;
		auto score = [&](long long e) {
			T s = load<T>(scores, t * experts + e);
			return s != s ? -infinity<T>() : s;
		};
		T sum = 0;
		for (long long e = team.rank(); e < experts; e += team.size()) {
			sum += load<T>(scores, t * experts + e);
			if (rank(score, experts, score(e), e) < k) atomicAdd((int *)counts.data + q * experts + e, 1);
		}
		sum = team.fold(sum, Plus<T>());
		if (team.rank() == 0) store(totals, t, sum);
	});
}
KERNELS(balanceCount, (View counts, View totals, View scores, View starts, int k, int *bad),
	(counts, totals, scores, starts, k, bad))

// One team per sequence. A thread adds up the tokens of an expert in ascending
// order.
template <class T> __device__ void balanceLoss(const View &losses, const View &counts, const View &totals,
		const View &scores, const View &starts, int k) {
	long long experts = scores.shape[3];
	eachRow(losses.shape[3], experts, [&](auto team, long long q) {
		long long first = larger(integer(starts, q), 0);
		long long last = smaller<long long>(integer(starts, q + 1), scores.shape[2]);
		T sum = 0;
		for (long long e = team.rank(); e < experts && first < last; e += team.size()) {
			T p = 0;
			for (long long t = first; t < last; t++) p += load<T>(scores, t * experts + e) / load<T>(totals, t);
			sum = fused(balanceLoad<T>(counts, q, e, k, last - first), p, sum);
		}
		sum = team.fold(sum, Plus<T>());
		if (team.rank() == 0) store(losses, q, first < last ? sum / (T)(last - first) : (T)0);
	});
}
KERNELS(balanceLoss, (View losses, View counts, View totals, View scores, View starts, int k),
	(losses, counts, totals, scores, starts, k))

template <class T> __device__ void balanceSum(const View &loss, const View &losses, double coef) {
	EACH(n, 1) {
		T sum = 0;
		for (long long q = 0; q < losses.shape[3]; q++) sum += load<T>(losses, q);
		store(loss, 0, (T)coef * sum);
	}
}
KERNELS(balanceSum, (View loss, View losses, double coef), (loss, losses, coef))

// One team per token.
template <class T> __device__ void balanceGrad(const View &dscores, const View &dloss, const View &counts,
		const View &totals, const View &scores, const View &starts, int k, double coef) {
	long long experts = scores.shape[3];
	eachRow(scores.shape[2], experts, [&](auto team, long long t) {
		long long q = sequence(starts, t);
		if (q < 0) {
			for (long long e = team.rank(); e < experts; e += team.size()) store(dscores, t * experts + e, (T)0);
			return;
		}
		long long n = integer(starts, q + 1) - integer(starts, q);
		T total = load<T>(totals, t), mean = 0;
		for (long long e = team.rank(); e < experts; e += team.size())
			mean = fused(balanceLoad<T>(counts, q, e, k, n), load<T>(scores, t * experts + e), mean);
		mean = team.fold(mean, Plus<T>()) / total;
		T factor = load<T>(dloss, 0) * (T)coef / ((T)n * total);
		for (long long e = team.rank(); e < experts; e += team.size())
			store(dscores, t * experts + e, factor * (balanceLoad<T>(counts, q, e, k, n) - mean));
	});
}
KERNELS(balanceGrad, (View dscores, View dloss, View counts, View totals, View scores, View starts, int k, double coef),
	(dscores, dloss, counts, totals, scores, starts, k, coef))
