// Instructions for which CUDA C++ has no built-in function. Each has a branch
// for the emulator (AHA_EMULATOR) that does what PTX documents. No other file
// has inline PTX.
#pragma once

#ifdef AHA_EMULATOR

// f16_bits rounds to F16, to nearest, ties to even.
__device__ __forceinline__ unsigned short f16_bits(float x) {
	unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
	if (size > 0x7f800000u) return 0x7fff;
	if (size >= 0x477ff000u) return sign | 0x7c00; // infinite, or nearer to the next power of two than to 65504
	if (size < 0x38800000u) { // subnormal: a multiple of 2^-24
		return sign | __float2int_rn(__uint_as_float(size) * 16777216.0f);
	}
	return sign | ((size + 0xfffu + (size >> 13 & 1u)) >> 13) - (112u << 10);
}

// f16_value converts F16 to float.
__device__ __forceinline__ float f16_value(unsigned short code) {
	unsigned size = code & 0x7fffu, sign = (code & 0x8000u) << 16;
	if (size >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (size & 0x3ffu) << 13);
	float x = __uint_as_float(size << 13) * 5192296858534827628530496329220096.0f; // 2^112
	return __uint_as_float(sign | __float_as_uint(x));
}

struct mma_m16n8k16 {
	float *c;
	const unsigned *a, *b;

	static float widen(unsigned pair, int i) { return __uint_as_float((i ? pair >> 16 : pair & 0xffffu) << 16); }

	static void all(void **lanes, unsigned mask, const char *file, int line) {
		if (mask != 0xffffffffu) aha_emu.fail(719, "mma.sync without all lanes of the warp", file, line);
		float a[16][16], b[16][8];
		for (int lane = 0; lane < 32; lane++) {
			auto *own = static_cast<mma_m16n8k16 *>(lanes[lane]);
			int g = lane >> 2, t = lane & 3;
			for (int i = 0; i < 2; i++) {
				for (int r = 0; r < 4; r++) a[g + 8 * (r & 1)][2 * t + 8 * (r >> 1) + i] = widen(own->a[r], i);
				for (int r = 0; r < 2; r++) b[2 * t + 8 * r + i][g] = widen(own->b[r], i);
			}
		}
		double sum[16][8] = {}; // exact unless magnitudes differ very much
		for (int row = 0; row < 16; row++) {
			for (int k = 0; k < 16; k++) {
				for (int column = 0; column < 8; column++) sum[row][column] += double(a[row][k]) * double(b[k][column]);
			}
		}
		for (int lane = 0; lane < 32; lane++) {
			auto *own = static_cast<mma_m16n8k16 *>(lanes[lane]);
			for (int r = 0; r < 4; r++) own->c[r] += sum[(lane >> 2) + 8 * (r >> 1)][2 * (lane & 3) + (r & 1)];
		}
	}
};

// mma_bf16 adds the product of a (16×16) and b (16×8) to c (16×8), for the
// whole warp. A register of a and b holds two BF16, the lower index in the
// lower half. With g = lane/4 and t = lane%4 (PTX ISA, mma.m16n8k16):
//
//	a[0], a[1]: row g and g+8, columns 2t and 2t+1;  a[2], a[3]: columns 2t+8 and 2t+9
//	b[0], b[1]: column g, rows 2t and 2t+1, and rows 2t+8 and 2t+9
//	c[0], c[1]: row g, columns 2t and 2t+1;          c[2], c[3]: row g+8
//
// The hardware determines the order of the sum.
// The hardware defines the order of the sum.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
	mma_m16n8k16 operands{c, a, b};
	aha_emu.warp(0xffffffffu, "mma.sync.m16n8k16", &operands, mma_m16n8k16::all, __FILE__, __LINE__);
}

// ldmatrix_x4 loads four matrices of 8×8 16-bit elements from shared memory.
// Lane 8i+j passes the address, aligned to 16 bytes, of row j of matrix i; r[i]
// of lane l gets elements 2(l%4) and 2(l%4)+1 of row l/4 of matrix i.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void *row) {
	int lane = aha_lane();
	if ((unsigned long long)row & 15) aha_emu.fail(716, "misaligned address", __FILE__, __LINE__);
	for (int i = 0; i < 4; i++) {
		unsigned long long at = __shfl_sync(0xffffffffu, (unsigned long long)row, 8 * i + lane / 4);
		r[i] = reinterpret_cast<const unsigned *>(at)[lane % 4];
	}
}

#else

__device__ __forceinline__ unsigned short f16_bits(float x) {
	unsigned short code;
	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(code) : "f"(x));
	return code;
}

__device__ __forceinline__ float f16_value(unsigned short code) {
	float x;
	asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(code));
	return x;
}

__device__ __forceinline__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
		"{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
		: "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
		: "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void *row) {
	unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(row));
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		: "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
		: "r"(at)
		: "memory");
}

#endif
