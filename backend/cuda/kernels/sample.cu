// backend.Sample: one team per row.
#include "view.cuh"
#include "best.cuh"
#include "cut.cuh"
#include "philox.cuh"
#include "score.cuh"

// Draw is the distribution that a token is sampled from: a row of logits at an
// inverse temperature, −Inf where filtered out.
template <class T, class Team> struct Draw {
	Team team;
	const View &x;
	long long row;
	T invTemp;
	Cut<T> count, mass;
	T lse;

	__device__ T whole(long long v) const { return load<T>(x, row * x.strides[2] + v * x.strides[3]) * invTemp; }

	__device__ T z(long long v) const {
		T score = whole(v);
		return count.keeps(score, v) && mass.keeps(score, v) ? score : -infinity<T>();
	}

	__device__ T p(long long v) const { return exponential(z(v) - lse); }

	__device__ void score() {
		Score<T> s;
		s.row(team, [&](long long v) { return z(v); }, x.shape[3], false);
		lse = s.lse();
	}

	__device__ int first() const {
		return (int)next(team, [&](long long v) { return whole(v); }, x.shape[3], everything<T>()).id;
	}

	// filter keeps the topK largest logits and, of these, the most likely ones
	// that together reach probability topP, at least one.
	__device__ void filter(int topK, double topP) {
		long long n = x.shape[3];
		auto scores = [&](long long v) { return z(v); };
		if (topK > 0 && topK < n) {
			count = cut<T>(team, scores, [](long long) { return 1.0; }, n, topK);
			score();
		}
		if (topP < 1) {
			mass = cut<T>(team, scores, [&](long long v) { return (double)p(v); }, n, larger(topP, 0x1p-1022));
			score();
		}
	}

	// pick returns the first token at which the cumulative probability exceeds
	// u. If rounding leaves it at or below u, pick returns the last token whose
	// probability is not 0.
	__device__ int pick(double u) const {
		auto weight = [&](long long v) { return (double)p(v); };
		return (int)reachIndex(team, weight, [&](double mass) { return mass > u; }, x.shape[3], 0);
	}
};

template <class T> __device__ void sample(const View &token, const View &logProb, const View &x, const View &seed,
		const View &pos, const View &topK, const View &temperature, const View &topP) {
	eachRow(x.shape[2], x.shape[3], [&](auto team, long long i) {
		double t = load<T>(temperature, i * temperature.strides[3]);
		Draw<T, decltype(team)> draw = {team, x, i, t == 0 ? (T)1 : (T)(1 / t)};
		draw.score();
		int picked;
		if (t == 0) {
			picked = draw.first();
		} else if (!(draw.lse - draw.lse == 0)) { // some logit is not finite: skip the filters, which might drop it
			picked = draw.first();
			draw.lse = notANumber<T>();
		} else {
			draw.filter(integer(topK, i * topK.strides[3]), load<T>(topP, i * topP.strides[3]));
			unsigned low = integer(seed, i * seed.strides[2]);
			unsigned high = integer(seed, i * seed.strides[2] + seed.strides[3]);
			long long at = integer(pos, i * pos.strides[3]);
			Words words = philox((unsigned long long)high << 32 | low, 0, at);
			picked = draw.pick(uniform<T>(words.w[0]));
		}
		if (team.rank() != 0) return;
		store(token, i * token.strides[3], picked);
		store(logProb, i * logProb.strides[3], draw.whole(picked) - draw.lse);
	});
}
KERNELS(sample, (View token, View logProb, View x, View seed, View pos, View topK, View temperature, View topP),
	(token, logProb, x, seed, pos, topK, temperature, topP))
