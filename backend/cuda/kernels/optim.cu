// backend.AdamW: one element per thread. Values that all elements share are
// computed in F64 and rounded once to the compute dtype. A step below 1 changes
// nothing and is reported in bad.
#include "view.cuh"
#include "math.cuh"

template <class T> struct Step {
	bool valid;
	T gradScale, beta1, gain1, beta2, gain2, correct1, correct2, eps, lr, decay;
};

template <class T> __device__ void adamW(const View &w, const View &g, const View &m, const View &v, const View &at,
		double lr, double beta1, double beta2, double eps, double decay, int *bad) {
	__shared__ Step<T> shared;
	if (threadIdx.x == 0) {
		const double *numbers = (const double *)at.data; // step, learning rate factor, gradient scale
		long long step = (long long)numbers[0];
		shared.valid = step >= 1 || refuse(step, bad);
		shared.gradScale = (T)numbers[2];
		shared.beta1 = (T)beta1;
		shared.gain1 = (T)(1 - beta1);
		shared.beta2 = (T)beta2;
		shared.gain2 = (T)(1 - beta2);
		shared.correct1 = (T)(1 / (1 - pow(beta1, (double)step)));
		shared.correct2 = (T)(1 / (1 - pow(beta2, (double)step)));
		shared.eps = (T)eps;
		shared.lr = (T)(lr * numbers[1]);
		shared.decay = (T)decay;
	}
	__syncthreads();
	Step<T> c = shared;
	if (!c.valid) return;
	EACH(n, length(w)) {
		T d = load<T>(g, n) * c.gradScale, x = load<T>(w, n);
		T newM = load<T>(m, n) * c.beta1 + c.gain1 * d, newV = load<T>(v, n) * c.beta2 + c.gain2 * (d * d);
		T u = newM * c.correct1 / (root(newV * c.correct2) + c.eps) + c.decay * x;
		store(w, n, x - c.lr * u);
		store(m, n, newM);
		store(v, n, newV);
	}
}
KERNELS(adamW,
	(View w, View g, View m, View v, View at, double lr, double beta1, double beta2, double eps, double decay,
		int *bad),
	(w, g, m, v, at, lr, beta1, beta2, eps, decay, bad))
