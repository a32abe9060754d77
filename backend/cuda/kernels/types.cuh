// The element types of buffers as bits, and their conversions. They equal those
// of backend.DType except for the payload of NaN: they round to nearest, ties
// to even; beyond the largest number BF16 and F16 become infinite, E4M3 and
// E5M2 saturate.
#pragma once

#include "ptx.cuh"

struct bf16 {
	unsigned short bits;
};
struct f16 {
	unsigned short bits;
};
struct e4m3 {
	unsigned char bits;
};
struct e5m2 {
	unsigned char bits;
};

// to_f32 converts an element to float, exactly.
__device__ __forceinline__ float to_f32(float x) { return x; }
__device__ __forceinline__ float to_f32(bf16 x) { return __uint_as_float(unsigned(x.bits) << 16); }
__device__ __forceinline__ float to_f32(f16 x) { return f16_value(x.bits); }
__device__ __forceinline__ float to_f32(e5m2 x) { return f16_value(static_cast<unsigned short>(x.bits << 8)); }
__device__ __forceinline__ float to_f32(e4m3 x) {
	unsigned size = x.bits & 0x7fu, sign = (x.bits & 0x80u) << 24;
	if (size == 0x7fu) return __uint_as_float(sign | 0x7fc00000u);
	float v = __fmul_rn(__uint_as_float(size << 20), 1329227995784915872903807060280344576.0f); // 2^120
	return __uint_as_float(sign | __float_as_uint(v));
}

// from_f32<T> rounds a float to an element of type T.
template <class T> __device__ T from_f32(float x);
template <> __device__ __forceinline__ float from_f32<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 from_f32<bf16>(float x) {
	unsigned bits = __float_as_uint(x);
	if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<unsigned short>(bits >> 16 | 0x40u)};
	return bf16{static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
template <> __device__ __forceinline__ f16 from_f32<f16>(float x) { return f16{f16_bits(x)}; }

// fp8_bits rounds to an 8-bit float with M mantissa bits, exponent bias BIAS
// and LAST as the code of the largest finite number. Infinity becomes the code
// INFINITE.
template <int M, int BIAS, unsigned LAST, unsigned INFINITE>
__device__ __forceinline__ unsigned char fp8_bits(float x) {
	const unsigned largest = (LAST << (23 - M)) + (unsigned(127 - BIAS) << 23); // as F32
	unsigned bits = __float_as_uint(x), sign = bits >> 24 & 0x80u, size = bits & 0x7fffffffu;
	if (size > 0x7f800000u) return static_cast<unsigned char>(sign | 0x7fu);
	if (size == 0x7f800000u) return static_cast<unsigned char>(sign | INFINITE);
	if (size >= largest) return static_cast<unsigned char>(sign | LAST);
	if (size < (unsigned(128 - BIAS) << 23)) { // subnormal: multiples of 2^(1-BIAS-M)
		float unit = __uint_as_float(unsigned(127 - 1 + BIAS + M) << 23);
		return static_cast<unsigned char>(sign | static_cast<unsigned>(__float2int_rn(__uint_as_float(size) * unit)));
	}
	unsigned rounded = (size + (1u << (22 - M)) - 1u + (size >> (23 - M) & 1u)) >> (23 - M);
	return static_cast<unsigned char>(sign | (rounded - (unsigned(127 - BIAS) << M)));
}
template <> __device__ __forceinline__ e4m3 from_f32<e4m3>(float x) { return e4m3{fp8_bits<3, 7, 0x7e, 0x7e>(x)}; }
template <> __device__ __forceinline__ e5m2 from_f32<e5m2>(float x) { return e5m2{fp8_bits<2, 15, 0x7b, 0x7c>(x)}; }
