// backend.MoEGate and MoEGateGrad: one team per token.
#include "view.cuh"
#include "fold.cuh"
#include "rank.cuh"

static_assert(ShortRow <= MaxExperts, "a warp has the scores of a token in its part of a block's memory");

// score computes the affinities from the logits z(e).
template <class T, class Team, class Z>
__device__ void score(Team team, const View &scores, long long to, Z z, long long experts, int softmax) {
	T top = 0, sum = 1;
	if (softmax) {
		top = -infinity<T>(), sum = 0;
		for (long long e = team.rank(); e < experts; e += team.size()) top = larger(top, z(e));
		top = team.fold(top, Larger<T>());
		for (long long e = team.rank(); e < experts; e += team.size()) sum += exponential(z(e) - top);
		sum = team.fold(sum, Plus<T>());
	}
	for (long long e = team.rank(); e < experts; e += team.size())
		store(scores, to + e, softmax ? exponential(z(e) - top) / sum : sigmoid(z(e)));
	team.sync();
}

// groupScore returns the score by which a group of n experts with biased scores
// x is ranked.
template <class T> __device__ T groupScore(const T *x, long long n, int top2) {
	T first = -infinity<T>(), second = -infinity<T>();
	for (long long i = 0; i < n; i++) {
		if (x[i] > first) {
			second = first;
			first = x[i];
		} else if (x[i] > second) {
			second = x[i];
		}
	}
	return top2 && n > 1 ? first + second : first;
}

// Shared memory holds a token's biased scores: NaN as −Inf, and those of groups
// that are not kept as NaN. A block's eight warps divide that memory, so a warp
// can process a token of up to an eighth as many experts as a block.
template <class T> __device__ void moeGate(const View &weight, const View &index, const View &scores,
		const View &logits, const View &bias, int softmax, int top2, int groups, int topGroups, int normalize,
		double scale, double eps) {
	__shared__ T biasedOf[MaxExperts], groupOf[MaxExperts];
	__shared__ unsigned char chosenOf[MaxExperts];
	long long experts = logits.shape[3], k = index.shape[3], each = experts / groups;
	eachRow(logits.shape[2], MaxWarps * experts, [&](auto team, long long i) {
		T *biased = team.share(biasedOf), *group = team.share(groupOf);
		unsigned char *chosen = team.share(chosenOf);
		auto z = [&](long long e) { return load<T>(logits, i * logits.strides[2] + e * logits.strides[3]); };
		score<T>(team, scores, i * experts, z, experts, softmax);
		bool spoiled = false;
		for (long long e = team.rank(); e < experts; e += team.size()) {
			T s = load<T>(scores, i * experts + e);
			if (bias.data) s += load<T>(bias, e);
			spoiled |= !(z(e) - z(e) == 0) || !(s < infinity<T>());
			biased[e] = s != s ? -infinity<T>() : s;
		}
		spoiled = team.any(spoiled);

		for (long long g = team.rank(); g < groups; g += team.size())
			group[g] = groupScore(biased + g * each, each, top2);
		team.sync();
		for (long long e = team.rank(); e < experts; e += team.size()) {
			long long g = e / each;
			long long place = rank([&](long long j) { return group[j]; }, groups, group[g], g);
			if (place >= topGroups) biased[e] = notANumber<T>();
		}
		team.sync();
		for (long long e = team.rank(); e < experts; e += team.size()) {
			T s = biased[e];
			chosen[e] = s == s && rank([&](long long j) { return biased[j]; }, experts, s, e) < k;
		}
		team.sync();
		for (long long e = team.rank(); e < experts; e += team.size()) {
			if (!chosen[e]) continue;
			long long place = 0;
			for (long long j = 0; j < e; j++) place += chosen[j];
			store(index, i * k + place, (int)e);
			store(weight, i * k + place, load<T>(scores, i * experts + e));
		}
		team.sync();
		T total = 0;
		for (long long n = 0; n < k; n++) total += load<T>(weight, i * k + n);
		team.sync();
		T factor = normalize ? (T)scale / (total + (T)eps) : (T)scale;
		for (long long n = team.rank(); n < k; n += team.size())
			store(weight, i * k + n, spoiled ? notANumber<T>() : load<T>(weight, i * k + n) * factor);
	});
}
KERNELS(moeGate, (View weight, View index, View scores, View logits, View bias, int softmax, int top2, int groups,
		int topGroups, int normalize, double scale, double eps),
	(weight, index, scores, logits, bias, softmax, top2, groups, topGroups, normalize, scale, eps))

// Every thread adds up the few chosen experts of a token itself.
template <class T> __device__ void moeGateGrad(const View &dlogits, const View &dweight, const View &dscores,
		const View &scores, const View &index, int softmax, int normalize, double scale, double eps, int *bad) {
	long long experts = scores.shape[3], k = index.shape[3];
	eachRow(scores.shape[2], MaxWarps * experts, [&](auto team, long long i) {
		T factor = (T)scale, mean = 0;
		if (dweight.data && normalize) {
			T sum = 0;
			for (long long n = 0; n < k; n++) {
				int e = integer(index, i * k + n);
				if (!valid(e, experts, bad)) continue;
				T s = load<T>(scores, i * experts + e);
				sum += s;
				mean += load<T>(dweight, i * k + n) * s;
			}
			mean /= sum + (T)eps;
			factor /= sum + (T)eps;
		}
		auto ds = [&](long long e) { // the gradient of a score
			T d = dscores.data ? load<T>(dscores, i * experts + e) : (T)0;
			for (long long n = 0; dweight.data && n < k; n++)
				if (integer(index, i * k + n) == e) d += factor * (load<T>(dweight, i * k + n) - mean);
			return d;
		};
		T through = 0;
		if (softmax) {
			for (long long e = team.rank(); e < experts; e += team.size())
				through = fused(load<T>(scores, i * experts + e), ds(e), through);
			through = team.fold(through, Plus<T>());
		}
		for (long long e = team.rank(); e < experts; e += team.size()) {
			T s = load<T>(scores, i * experts + e);
			store(dlogits, i * experts + e, softmax ? s * (ds(e) - through) : ds(e) * (s * (1 - s)));
		}
	});
}
KERNELS(moeGateGrad, (View dlogits, View dweight, View dscores, View scores, View index, int softmax, int normalize,
		double scale, double eps, int *bad),
	(dlogits, dweight, dscores, scores, index, softmax, normalize, scale, eps, bad))
