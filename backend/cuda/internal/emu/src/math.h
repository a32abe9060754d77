// Math functions and intrinsics. Functions that NVRTC approximates (__expf,
// rsqrtf) are as exact here as libm, so results agree within the
// approximation's error.
#pragma once

extern "C" {
int printf(const char *, ...);
float acosf(float), asinf(float), atanf(float), atan2f(float, float), cbrtf(float), ceilf(float), coshf(float);
float copysignf(float, float), cosf(float), erff(float), erfcf(float), exp2f(float), expf(float), expm1f(float);
float fabsf(float), fdimf(float, float), floorf(float), fmaf(float, float, float), fmaxf(float, float);
float fminf(float, float), fmodf(float, float), frexpf(float, int *), hypotf(float, float), ldexpf(float, int);
float log10f(float), log1pf(float), log2f(float), logf(float), nearbyintf(float), powf(float, float);
float remainderf(float, float), rintf(float), roundf(float), scalbnf(float, int), sinf(float), sinhf(float);
float sqrtf(float), tanf(float), tanhf(float), truncf(float);
double acos(double), asin(double), atan(double), atan2(double, double), ceil(double), copysign(double, double);
double cos(double), cosh(double), erf(double), exp(double), exp2(double), expm1(double), fabs(double);
double floor(double), fma(double, double, double), fmax(double, double), fmin(double, double);
double fmod(double, double), ldexp(double, int), log(double), log10(double), log1p(double), log2(double);
double nearbyint(double), pow(double, double), rint(double), round(double), sin(double), sinh(double);
double sqrt(double), tan(double), tanh(double), trunc(double);
void sincosf(float, float *, float *), sincos(double, double *, double *);
int abs(int);
}
#define AHA_FLOAT1(NAME) \
	static inline float NAME(float x) { return NAME##f(x); }
#define AHA_FLOAT2(NAME) \
	static inline float NAME(float x, float y) { return NAME##f(x, y); }
AHA_FLOAT1(ceil)
AHA_FLOAT1(cos) AHA_FLOAT1(erf) AHA_FLOAT1(exp) AHA_FLOAT1(exp2) AHA_FLOAT1(expm1) AHA_FLOAT1(fabs) AHA_FLOAT1(floor)
	AHA_FLOAT1(log) AHA_FLOAT1(log10) AHA_FLOAT1(log1p) AHA_FLOAT1(log2) AHA_FLOAT1(nearbyint) AHA_FLOAT1(rint)
		AHA_FLOAT1(round) AHA_FLOAT1(sin) AHA_FLOAT1(sqrt) AHA_FLOAT1(tan) AHA_FLOAT1(tanh) AHA_FLOAT1(trunc)
			AHA_FLOAT2(copysign) AHA_FLOAT2(fmax) AHA_FLOAT2(fmin) AHA_FLOAT2(fmod) AHA_FLOAT2(pow)

#define AHA_MINMAX(T) \
	static inline T min(T a, T b) { return a < b ? a : b; } \
	static inline T max(T a, T b) { return a > b ? a : b; }
				AHA_MINMAX(int) AHA_MINMAX(unsigned) AHA_MINMAX(long) AHA_MINMAX(unsigned long) AHA_MINMAX(long long)
					AHA_MINMAX(unsigned long long) static inline float min(float a, float b) {
	return fminf(a, b);
}
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

static inline bool isnan(float x) { return __builtin_isnan(x); }
static inline bool isnan(double x) { return __builtin_isnan(x); }
static inline bool isinf(float x) { return __builtin_isinf(x); }
static inline bool isinf(double x) { return __builtin_isinf(x); }
static inline bool isfinite(float x) { return __builtin_isfinite(x); }
static inline bool isfinite(double x) { return __builtin_isfinite(x); }
static inline bool signbit(float x) { return __builtin_signbit(x); }
static inline bool signbit(double x) { return __builtin_signbit(x); }

static inline float rsqrtf(float x) { return float(1.0 / __builtin_sqrt(double(x))); }
static inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
static inline float __expf(float x) { return expf(x); }
static inline float __exp10f(float x) { return powf(10.0f, x); }
static inline float __logf(float x) { return logf(x); }
static inline float __log2f(float x) { return log2f(x); }
static inline float __sinf(float x) { return sinf(x); }
static inline float __cosf(float x) { return cosf(x); }
static inline void __sincosf(float x, float *s, float *c) { sincosf(x, s, c); }
static inline float __powf(float x, float y) { return powf(x, y); }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __frsqrt_rn(float x) { return rsqrtf(x); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __fma_rn(double x, double y, double z) { return __builtin_fma(x, y, z); }

// Operations on bits.
#define AHA_BITCAST(NAME, TO, FROM) \
	static inline TO NAME(FROM x) { \
		TO y; \
		__builtin_memcpy(&y, &x, sizeof y); \
		return y; \
	}
AHA_BITCAST(__float_as_int, int, float)
AHA_BITCAST(__float_as_uint, unsigned, float)
AHA_BITCAST(__int_as_float, float, int)
AHA_BITCAST(__uint_as_float, float, unsigned)
AHA_BITCAST(__double_as_longlong, long long, double)
AHA_BITCAST(__longlong_as_double, double, long long)
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline unsigned __brev(unsigned x) {
	x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
	x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
	x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
	return __builtin_bswap32(x);
}
static inline int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
	return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
	unsigned long long both = (unsigned long long)y << 32 | x;
	unsigned r = 0;
	for (int i = 0; i < 4; i++) {
		unsigned byte = unsigned(both >> 8 * (s >> 4 * i & 7)) & 0xff;
		if (s >> 4 * i & 8) byte = byte & 0x80 ? 0xff : 0;
		r |= byte << 8 * i;
	}
	return r;
}
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) {
	return unsigned((((unsigned long long)hi << 32 | lo) << (n & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) {
	return unsigned(((unsigned long long)hi << 32 | lo) >> (n & 31));
}
static inline int __dp4a(int a, int b, int c) {
	for (int i = 0; i < 4; i++) c += int((signed char)(a >> 8 * i)) * int((signed char)(b >> 8 * i));
	return c;
}

// Conversions. As on a device, NaN becomes 0 and numbers out of range saturate.
static inline int aha_to_int(double x) {
	return x != x ? 0 : x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? -2147483647 - 1 : int(x);
}
static inline unsigned aha_to_uint(double x) { return !(x > 0) ? 0 : x >= 4294967295.0 ? 4294967295u : unsigned(x); }
static inline int __float2int_rn(float x) { return aha_to_int(__builtin_rintf(x)); }
static inline int __float2int_rz(float x) { return aha_to_int(__builtin_truncf(x)); }
static inline int __float2int_rd(float x) { return aha_to_int(__builtin_floorf(x)); }
static inline int __float2int_ru(float x) { return aha_to_int(__builtin_ceilf(x)); }
static inline unsigned __float2uint_rn(float x) { return aha_to_uint(__builtin_rintf(x)); }
static inline unsigned __float2uint_rz(float x) { return aha_to_uint(__builtin_truncf(x)); }
static inline float __int2float_rn(int x) { return float(x); }
static inline float __uint2float_rn(unsigned x) { return float(x); }
static inline float __double2float_rn(double x) { return float(x); }
