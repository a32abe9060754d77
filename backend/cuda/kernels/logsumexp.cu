// backend.LogSumExp: one team per row.
#include "view.cuh"
#include "score.cuh"

template <class T> __device__ void logSumExp(const View &lse, const View &entropy, const View &x, double invTemp) {
	eachRow(x.shape[2], x.shape[3], [&](auto team, long long i) {
		auto z = [&](long long v) { return load<T>(x, i * x.strides[2] + v * x.strides[3]) * (T)invTemp; };
		Score<T> s;
		s.row(team, z, x.shape[3], entropy.data != 0);
		if (team.rank() != 0) return;
		store(lse, i, s.lse());
		if (entropy.data) store(entropy, i, s.entropy());
	});
}
KERNELS(logSumExp, (View lse, View entropy, View x, double invTemp), (lse, entropy, x, invTemp))
