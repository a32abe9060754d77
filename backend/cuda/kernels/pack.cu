// backend.Pack and Unpack, and the left operand of FP8.
#include "operand.cuh"

// magnitude returns the bits of |x|. NaN is greater than infinity.
__device__ inline unsigned magnitude(float x) { return __float_as_uint(x) & 0x7fffffffu; }

enum : unsigned { InfinityBits = 0x7f800000u };

// quantise_fp8 encodes w in E4M3 with the scale max|w|/448, or 1, for each
// square of 128×128 elements. One block of threads encodes one square. Elements
// that are not finite become NaN and do not affect the scale.
extern "C" __global__ void quantise_fp8(View codes, View scale, View w) {
	__shared__ unsigned part[256];
	long long k = w.shape[2], n = w.shape[3], down = scale.shape[2], across = scale.shape[3];
	for (long long square = blockIdx.x; square < length(scale); square += gridDim.x) {
		Index at = unravel(scale, square);
		long long from = at.i[0] * w.strides[0] + at.i[1] * w.strides[1];
		long long to = at.i[0] * codes.strides[0] + at.i[1] * codes.strides[1];
		long long p0 = at.i[2] * FP8::Block, j0 = at.i[3] * FP8::Block;
		long long rows = at.i[2] < down - 1 ? FP8::Block : k - p0;
		long long columns = at.i[3] < across - 1 ? FP8::Block : n - j0;
		unsigned size = 0;
		for (long long i = threadIdx.x; i < rows * columns; i += blockDim.x) {
			long long p = p0 + i / columns, j = j0 + i % columns;
			unsigned u = magnitude(load<float>(w, from + p * w.strides[2] + j * w.strides[3]));
			if (u < InfinityBits && u > size) size = u;
		}
		__syncthreads(); // wait for threads that still read the last result
		part[threadIdx.x] = size;
		for (int half = blockDim.x / 2; half > 0; half /= 2) {
			__syncthreads();
			unsigned i = threadIdx.x;
			if (i < half && part[i + half] > part[i]) part[i] = part[i + half];
		}
		__syncthreads();
		float d = __uint_as_float(part[0]) / 448;
		if (d == 0) d = 1;
		if (threadIdx.x == 0) store(scale, ::at(scale, at), d);
		for (long long i = threadIdx.x; i < rows * columns; i += blockDim.x) {
			long long p = p0 + i / columns, j = j0 + i % columns;
			float x = load<float>(w, from + p * w.strides[2] + j * w.strides[3]);
			if (magnitude(x) >= InfinityBits) x = notANumber<float>();
			store(codes, to + p * codes.strides[2] + j * codes.strides[3], x / d);
		}
	}
}

// quantiseRows encodes each 128 elements of a row of x in E4M3 with the scale
// max(max|x|, 1e-4)/448. One warp encodes 128 elements. If some are not finite,
// the block gets the scale NaN and zeros.
extern "C" __global__ void quantiseRows(View codes, View scale, View x) {
	EACH(n, length(scale) * 32) {
		int lane = n % 32;
		Index at = unravel(scale, n / 32);
		long long p0 = at.i[3] * FP8::Block, count = x.shape[3] - p0 < FP8::Block ? x.shape[3] - p0 : FP8::Block;
		long long from = at.i[0] * x.strides[0] + at.i[1] * x.strides[1] + at.i[2] * x.strides[2];
		long long to = at.i[0] * codes.strides[0] + at.i[1] * codes.strides[1] + at.i[2] * codes.strides[2];
		unsigned size = 0;
		for (long long q = lane; q < count; q += 32) {
			unsigned u = magnitude(load<float>(x, from + (p0 + q) * x.strides[3]));
			if (u > size) size = u;
		}
		for (int half = 16; half > 0; half /= 2) {
			unsigned other = __shfl_xor_sync(0xffffffffu, size, half);
			if (other > size) size = other;
		}
		bool finite = size < InfinityBits;
		float d = __uint_as_float(size);
		d = finite ? (d > 1e-4f ? d : 1e-4f) / 448 : notANumber<float>();
		if (lane == 0) store(scale, ::at(scale, at), d);
		for (long long q = lane; q < count; q += 32) {
			float v = finite ? load<float>(x, from + (p0 + q) * x.strides[3]) / d : 0.0f;
			store(codes, to + (p0 + q) * codes.strides[3], v);
		}
	}
}

// roundTo rounds x, |x| < 2²², to the nearest integer, ties to even, and clips
// it.
__device__ inline int roundTo(float x, int least, int most) {
	int q = __float2int_rn(x);
	return q < least ? least : q > most ? most : q;
}

// Column is a block of 32 elements of a column of weights.
struct Column {
	float w[Q8::Block];
	unsigned size; // bits of the largest magnitude
};

// column reads the block with index at. Elements beyond the matrix are zero.
__device__ inline Column column(const View &w, const Index &at) {
	Column c;
	c.size = 0;
	long long from = at.i[0] * w.strides[0] + at.i[1] * w.strides[1] + at.i[3] * w.strides[3];
	for (int q = 0; q < Q8::Block; q++) {
		long long p = at.i[2] * Q8::Block + q;
		c.w[q] = p < w.shape[2] ? load<float>(w, from + p * w.strides[2]) : 0.0f;
		if (magnitude(c.w[q]) > c.size) c.size = magnitude(c.w[q]);
	}
	return c;
}

__device__ inline float narrow(float x) { return to_f32(from_f32<f16>(x)); }

// quantise_q8 computes for each block the scale d = F16(max|w|/127), or the
// next F16 above it if the largest element would be clipped, and the integers
// round(w/d). If an element is not finite, or the scale too large for F16, the
// scale is NaN.
extern "C" __global__ void quantise_q8(View codes, View scale, View w) {
	EACH(n, length(scale)) {
		Index at = unravel(scale, n);
		Column c = column(w, at);
		float largest = __uint_as_float(c.size);
		f16 d = from_f32<f16>(largest / 127);
		bool good = d.bits < 0x7c00;
		if (good && c.size != 0 && 127.5f * to_f32(d) <= largest) d.bits++;
		store(scale, ::at(scale, at), good ? to_f32(d) : notANumber<float>());
		float inverse = good && d.bits != 0 ? 1 / to_f32(d) : 0.0f;
		long long to = at.i[0] * codes.strides[0] + at.i[1] * codes.strides[1] + at.i[3] * codes.strides[3];
		long long p = at.i[2] * Q8::Block;
		for (int q = 0; q < Q8::Block && p + q < w.shape[2]; q++)
			store(codes, to + (p + q) * codes.strides[2], good ? roundTo(c.w[q] * inverse, -127, 127) : 0);
	}
}

// putNibbles writes the integers of a block, starting at offset to, which is
// even.
template <class Code> __device__ inline void putNibbles(const View &codes, long long to, Code code) {
	unsigned char *pair = (unsigned char *)codes.data + to / 2;
	for (int q = 0; q < Q4::Block; q += 2, pair++) *pair = (unsigned char)(code(q) | code(q + 1) << 4);
}

// quantise_q4 tries a few scales around max|w|/8, of either sign, and uses for
// each block the one with the least squared error. Blocks of codes are whole
// bytes.
extern "C" __global__ void quantise_q4(View codes, View scale, View w) {
	const double parts[] = {1 / 8.0, 1 / 7.2, 1 / 7.6, 1 / 8.4, 1 / 8.8, 1 / 9.2};
	EACH(n, length(scale)) {
		Index at = unravel(scale, n);
		Column c = column(w, at);
		float largest = __uint_as_float(c.size), best = 0, least = infinity<float>();
		bool good = from_f32<f16>(largest / 8).bits < 0x7c00;
		for (int t = 0; t < 12 && good; t++) {
			float d = narrow((float)(t % 2 ? -parts[t / 2] : parts[t / 2]) * largest), error = 0;
			for (int q = 0; q < Q4::Block; q++) {
				float e = c.w[q] - roundTo(d == 0 ? 0.0f : c.w[q] * (1 / d), -8, 7) * d;
				error += e * e;
			}
			if (error < least) {
				best = d;
				least = error;
			}
		}
		store(scale, ::at(scale, at), good ? best : notANumber<float>());
		float inverse = best == 0 ? 0.0f : 1 / best;
		long long to = at.i[0] * codes.strides[0] + at.i[1] * codes.strides[1] + at.i[3] * codes.strides[3];
		putNibbles(codes, to + at.i[2] * Q4::Block, [&](int q) { return good ? roundTo(c.w[q] * inverse, -8, 7) + 8 : 8; });
	}
}

// quantise_q4_1 computes for each block the scale d = F16((max−min)/15), the
// minimum F16(min) and the integers (w−min)·15/(max−min), halves rounded up,
// like GGML. If an element is not finite, or too large for F16, the scale is
// NaN.
extern "C" __global__ void quantise_q4_1(View codes, View scale, View w) {
	EACH(n, length(scale)) {
		Index at = unravel(scale, n);
		Column c = column(w, at);
		float least = c.w[0], most = c.w[0];
		for (int q = 1; q < Q4::Block; q++) {
			if (c.w[q] < least) least = c.w[q];
			if (c.w[q] > most) most = c.w[q];
		}
		float d = (most - least) / 15;
		bool good = c.size < InfinityBits && from_f32<f16>(d).bits < 0x7c00 &&
			(from_f32<f16>(least).bits & 0x7c00) != 0x7c00;
		store(scale, ::at(scale, at), good ? d : notANumber<float>());
		store(scale, ::at(scale, at) + 1, good ? least : 0.0f);
		float inverse = good && d != 0 ? 1 / d : 0.0f;
		long long to = at.i[0] * codes.strides[0] + at.i[1] * codes.strides[1] + at.i[3] * codes.strides[3];
		putNibbles(codes, to + at.i[2] * Q4::Block, [&](int q) {
			int code = good ? (int)((c.w[q] - least) * inverse + 0.5f) : 0;
			return code < 15 ? code : 15;
		});
	}
}

// nibbles adds offset to integers and packs them in the order of Q4. scale has
// the shape of the blocks.
extern "C" __global__ void nibbles(View codes, View scale, View integers, int offset) {
	EACH(n, length(scale)) {
		Index at = unravel(scale, n);
		Column c = column(integers, at);
		long long to = at.i[0] * codes.strides[0] + at.i[1] * codes.strides[1] + at.i[3] * codes.strides[3];
		putNibbles(codes, to + at.i[2] * Q4::Block, [&](int q) { return (int)c.w[q] + offset; });
	}
}

// unpack writes the values that products use: all columns or, if index is
// present, those in index.
template <class F>
__device__ void unpack(const View &dst, const View &index, const View &b, const View &bScale, int *bad) {
	EACH(n, length(dst)) {
		Index k = unravel(dst, n);
		long long j = k.i[3];
		if (index.data) {
			int id = integer(index, j * index.strides[3]);
			if (id < 0) {
				store(dst, at(dst, k), 0.0f);
				continue;
			}
			if (!valid(id, b.shape[3], bad)) continue;
			j = id;
		}
		store(dst, at(dst, k), F::weight(operand(b, bScale, k.i[0], k.i[1]), k.i[2], j));
	}
}
#define UNPACK(name, format) \
	extern "C" __global__ void name(View dst, View index, View b, View bScale, int *bad) { \
		unpack<format>(dst, index, b, bScale, bad); \
	}
UNPACK(unpack_bf16, BFloat16)
UNPACK(unpack_fp8, FP8)
UNPACK(unpack_q8, Q8)
UNPACK(unpack_q4, Q4)
UNPACK(unpack_q4_1, Q4_1)
