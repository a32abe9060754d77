// Math functions for float and double.
#pragma once

__device__ inline float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }
__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float logarithmOfOneAnd(float x) { return log1pf(x); }
__device__ inline double logarithmOfOneAnd(double x) { return log1p(x); }
__device__ inline float hyperbolicTangent(float x) { return tanhf(x); }
__device__ inline double hyperbolicTangent(double x) { return tanh(x); }
__device__ inline float errorFunction(float x) { return erff(x); }
__device__ inline double errorFunction(double x) { return erf(x); }
__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }
__device__ inline float size(float x) { return fabsf(x); }
__device__ inline double size(double x) { return fabs(x); }

template <class T> __device__ inline T infinity() { return (T)__int_as_float(0x7f800000); }
template <class T> __device__ inline T notANumber() { return (T)__int_as_float(0x7fc00000); }

// larger returns NaN if either argument is NaN.
template <class T> __device__ inline T larger(T a, T b) { return a != a ? a : b != b ? b : a > b ? a : b; }
template <class T> __device__ inline T smaller(T a, T b) { return a != a ? a : b != b ? b : a < b ? a : b; }

template <class T> __device__ inline T sigmoid(T x) { return (T)1 / ((T)1 + exponential(-x)); }
