// backend.LinearLogProb and LinearLogProbGrad, given the logits of some rows
// and one chunk of the vocabulary: one team per row.
#include "view.cuh"
#include "score.cuh"

// scoreLogits merges the logits x·w of row i into the score of the chunks
// before, which is in state, one Score per row, and keeps the target's logit.
// first is the token of column 0.
template <class T>
__device__ void scoreLogits(const View &state, const View &logProb, const View &logits, const View &target, int first,
		double invTemp, int entropy, int vocab, int *bad) {
	eachRow(logits.shape[2], vocab, [&](auto team, long long i) {
		auto z = [&](long long v) { return load<T>(logits, i * logits.strides[2] + v) * (T)invTemp; };
		Score<T> s = first > 0 ? ((const Score<T> *)state.data)[i] : Score<T>();
		s.add(team, z, (int)logits.shape[3], entropy);
		if (team.rank() != 0) return;
		((Score<T> *)state.data)[i] = s;
		int t = integer(target, i);
		if (first == 0 && t >= 0) valid(t, vocab, bad);
		if (first <= t && t < first + logits.shape[3]) store(logProb, i, z(t - first));
	});
}
KERNELS(scoreLogits, (View state, View logProb, View logits, View target, int first, double invTemp, int entropy,
	int vocab, int *bad),
	(state, logProb, logits, target, first, invTemp, entropy, vocab, bad))

// scoreRows computes the results from the scores of rows.
template <class T>
__device__ void scoreRows(const View &logProb, const View &lse, const View &entropy, const View &state,
		const View &target) {
	EACH(i, lse.shape[3]) {
		Score<T> s = ((const Score<T> *)state.data)[i];
		store(lse, i, s.lse());
		store(logProb, i, integer(target, i) < 0 ? (T)0 : load<T>(logProb, i) - s.lse());
		if (entropy.data) store(entropy, i, s.entropy());
	}
}
KERNELS(scoreRows, (View logProb, View lse, View entropy, View state, View target),
	(logProb, lse, entropy, state, target))

// logitGrad replaces logits x·w by InvTemp times their gradient.
template <class T>
__device__ void logitGrad(const View &logits, const View &dLogProb, const View &dEntropy, const View &target,
		const View &lse, const View &entropy, int first, double invTemp, int vocab, int *bad) {
	EACH(n, length(logits)) {
		long long i = n / logits.shape[3], v = n % logits.shape[3], place = i * logits.strides[2] + v;
		int t = integer(target, i);
		if (t >= 0) valid(t, vocab, bad);
		T scale = (T)invTemp, z = load<T>(logits, place) * scale, from = load<T>(lse, i);
		T g = t < 0 ? (T)0 : load<T>(dLogProb, i), p = exponential(z - from);
		T sum = dEntropy.data ? g + load<T>(dEntropy, i) * (z - from + load<T>(entropy, i)) : g;
		store(logits, place, -scale * p * sum + (first + v == t ? scale * g : (T)0));
	}
}
KERNELS(logitGrad, (View logits, View dLogProb, View dEntropy, View target, View lse, View entropy, int first,
	double invTemp, int vocab, int *bad),
	(logits, dLogProb, dEntropy, target, lse, entropy, first, invTemp, vocab, bad))
