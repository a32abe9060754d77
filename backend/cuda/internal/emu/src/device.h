// The device side of CUDA C++ for g++: the functions that NVRTC has built in
// and no others, so that a kernel that compiles here is likely to compile with
// NVRTC. It is included before the kernel.
#pragma once
#include "abi.h"

#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_assume(condition) ((condition) ? (void)0 : __builtin_unreachable())
#define warpSize 32
// rewrite replaces __global__, __shared__ and __launch_bounds__ after
// preprocessing.

typedef unsigned long size_t;

extern "C" {
extern const aha_state aha_emu __attribute__((visibility("hidden")));
extern const unsigned aha_module_abi __attribute__((visibility("default")));
extern const unsigned aha_module_check __attribute__((visibility("default")));
const unsigned aha_module_abi = AHA_EMU_ABI;
const unsigned aha_module_check = AHA_EMU_CHECKED;
}
// Defined in assembly, so that the compiler does not see the initial value of
// this const object: its members may differ from thread to thread.
__asm__(".pushsection .data.aha,\"aw\",@progbits\n\t.balign 64\n\t.globl aha_module_state\n"
		"aha_module_state:\naha_emu:\n\t.zero 512\n\t.popsection");

#define AHA_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// Vector types.
#define AHA_VECTOR(T, N, A2, A4) \
	struct N##1 { T x; }; \
	struct __align__(A2) N##2 { T x, y; }; \
	struct N##3 { T x, y, z; }; \
	struct __align__(A4) N##4 { T x, y, z, w; }; \
	static inline N##1 make_##N##1(T x) { return {x}; } \
	static inline N##2 make_##N##2(T x, T y) { return {x, y}; } \
	static inline N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; } \
	static inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
AHA_VECTOR(signed char, char, 2, 4)
AHA_VECTOR(unsigned char, uchar, 2, 4)
AHA_VECTOR(short, short, 4, 8)
AHA_VECTOR(unsigned short, ushort, 4, 8)
AHA_VECTOR(int, int, 8, 16)
AHA_VECTOR(unsigned, uint, 8, 16)
AHA_VECTOR(long long, longlong, 16, 16)
AHA_VECTOR(unsigned long long, ulonglong, 16, 16)
AHA_VECTOR(float, float, 8, 16)
AHA_VECTOR(double, double, 16, 16)

struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define threadIdx (aha_emu.thread)
#define blockIdx (aha_emu.block)
#define blockDim (aha_emu.block_dim)
#define gridDim (aha_emu.grid_dim)

#define AHA_UNCHECKED __attribute__((no_sanitize("thread"), no_sanitize("undefined")))

// Kernels: their signature, and a call with an array of pointers to arguments.
template <size_t...> struct aha_indices {};
template <class F> struct aha_signature;
template <class... A> struct aha_signature<void (*)(A...)> {
	static constexpr unsigned count = sizeof...(A);
	static constexpr unsigned sizes[sizeof...(A) + 1] = {sizeof(A)..., 0};
	template <void (*f)(A...), size_t... I> static AHA_UNCHECKED void spread(void **args, aha_indices<I...>) {
		f(*static_cast<A *>(args[I])...);
	}
	template <void (*f)(A...)> static AHA_UNCHECKED void call(void **args) {
		spread<f>(args, aha_indices<__integer_pack(sizeof...(A))...>());
	}
};

// Barriers and fences.
static inline void __syncthreads(AHA_SITE) { aha_emu.barrier(AHA_COUNT, 0, "__syncthreads", file, line); }
static inline int __syncthreads_count(int p, AHA_SITE) {
	return aha_emu.barrier(AHA_COUNT, p != 0, "__syncthreads_count", file, line);
}
static inline int __syncthreads_and(int p, AHA_SITE) {
	return aha_emu.barrier(AHA_AND, p != 0, "__syncthreads_and", file, line);
}
static inline int __syncthreads_or(int p, AHA_SITE) {
	return aha_emu.barrier(AHA_OR, p != 0, "__syncthreads_or", file, line);
}
static inline void __threadfence() { aha_emu.fence(); }
static inline void __threadfence_block() {}
static inline void __trap(AHA_SITE) { aha_emu.fail(719, "__trap", file, line); }

// aha_lane returns the thread's index in its warp.
static inline int aha_lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31; }

// Warp operations. Each passes a struct of operands and result to the emulator.
// When all lanes of the mask have arrived, a function computes all results.
static inline void __syncwarp(unsigned mask = 0xffffffffu, AHA_SITE) {
	aha_emu.warp(mask, "__syncwarp", nullptr, nullptr, file, line);
}

template <class T> struct aha_shuffle {
	T value, result;
	int from;
	static void all(void **lanes, unsigned mask, const char *file, int line) {
		for (int i = 0; i < 32; i++) {
			if (!(mask >> i & 1)) continue;
			auto *own = static_cast<aha_shuffle *>(lanes[i]);
			if (!(mask >> own->from & 1)) {
				aha_emu.fail(719, "a shuffle reads a lane that does not take part", file, line);
			}
			own->result = static_cast<aha_shuffle *>(lanes[own->from])->value;
		}
	}
};
template <class T>
static inline T aha_shuffle_from(unsigned mask, T value, int from, const char *name, const char *file, int line) {
	aha_shuffle<T> s{value, value, from};
	aha_emu.warp(mask, name, &s, aha_shuffle<T>::all, file, line);
	return s.result;
}
#define AHA_SHUFFLES(T) \
	static inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, AHA_SITE) { \
		return aha_shuffle_from( \
			mask, v, (aha_lane() & ~(width - 1)) | (source & (width - 1)), "__shfl_sync", file, line); \
	} \
	static inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, AHA_SITE) { \
		int lane = aha_lane(), from = lane - int(delta); \
		return aha_shuffle_from(mask, v, from < (lane & ~(width - 1)) ? lane : from, "__shfl_up_sync", file, line); \
	} \
	static inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, AHA_SITE) { \
		int lane = aha_lane(), from = lane + int(delta); \
		return aha_shuffle_from(mask, v, from > (lane | (width - 1)) ? lane : from, "__shfl_down_sync", file, line); \
	} \
	static inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, AHA_SITE) { \
		int lane = aha_lane(), from = lane ^ bits; \
		return aha_shuffle_from(mask, v, from > (lane | (width - 1)) ? lane : from, "__shfl_xor_sync", file, line); \
	}
AHA_SHUFFLES(int)
AHA_SHUFFLES(unsigned)
AHA_SHUFFLES(long)
AHA_SHUFFLES(unsigned long)
AHA_SHUFFLES(long long)
AHA_SHUFFLES(unsigned long long)
AHA_SHUFFLES(float)
AHA_SHUFFLES(double)

struct aha_ballot {
	int predicate;
	unsigned result;
	static void all(void **lanes, unsigned mask, const char *, int) {
		unsigned set = 0;
		for (int i = 0; i < 32; i++) {
			if (mask >> i & 1 && static_cast<aha_ballot *>(lanes[i])->predicate) set |= 1u << i;
		}
		for (int i = 0; i < 32; i++) {
			if (mask >> i & 1) static_cast<aha_ballot *>(lanes[i])->result = set;
		}
	}
	static unsigned of(unsigned mask, int p, const char *name, const char *file, int line) {
		aha_ballot b{p, 0};
		aha_emu.warp(mask, name, &b, all, file, line);
		return b.result;
	}
};
static inline unsigned __ballot_sync(unsigned mask, int p, AHA_SITE) {
	return aha_ballot::of(mask, p, "__ballot_sync", file, line);
}
static inline int __any_sync(unsigned mask, int p, AHA_SITE) {
	return aha_ballot::of(mask, p, "__any_sync", file, line) != 0;
}
static inline int __all_sync(unsigned mask, int p, AHA_SITE) {
	return aha_ballot::of(mask, !p, "__all_sync", file, line) == 0;
}
// Returns the lanes that have not exited. (A device may return any subset of
// them that includes the caller.)
static inline unsigned __activemask() { return aha_emu.live(); }

template <class T> struct aha_match {
	T value;
	unsigned result;
	static void all(void **lanes, unsigned mask, const char *, int) {
		for (int i = 0; i < 32; i++) {
			if (!(mask >> i & 1)) continue;
			auto *own = static_cast<aha_match *>(lanes[i]);
			own->result = 0;
			for (int j = 0; j < 32; j++) {
				if (mask >> j & 1 && static_cast<aha_match *>(lanes[j])->value == own->value) own->result |= 1u << j;
			}
		}
	}
};
template <class T> static inline unsigned __match_any_sync(unsigned mask, T value, AHA_SITE) {
	aha_match<T> m{value, 0};
	aha_emu.warp(mask, "__match_any_sync", &m, aha_match<T>::all, file, line);
	return m.result;
}

template <class T, class Fold> struct aha_reduce {
	T value, result;
	static void all(void **lanes, unsigned mask, const char *, int) {
		T r{};
		bool first = true;
		for (int i = 0; i < 32; i++) {
			if (!(mask >> i & 1)) continue;
			T v = static_cast<aha_reduce *>(lanes[i])->value;
			r = first ? v : Fold::fold(r, v);
			first = false;
		}
		for (int i = 0; i < 32; i++) {
			if (mask >> i & 1) static_cast<aha_reduce *>(lanes[i])->result = r;
		}
	}
};
#define AHA_REDUCE(NAME, T, EXPRESSION) \
	struct aha_fold##NAME##T { \
		static T fold(T a, T b) { return EXPRESSION; } \
	}; \
	static inline T NAME(unsigned mask, T v, AHA_SITE) { \
		aha_reduce<T, aha_fold##NAME##T> r{v, v}; \
		aha_emu.warp(mask, #NAME, &r, r.all, file, line); \
		return r.result; \
	}
AHA_REDUCE(__reduce_add_sync, int, int(unsigned(a) + unsigned(b)))
AHA_REDUCE(__reduce_add_sync, unsigned, a + b)
AHA_REDUCE(__reduce_min_sync, int, a < b ? a : b)
AHA_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
AHA_REDUCE(__reduce_max_sync, int, a > b ? a : b)
AHA_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
AHA_REDUCE(__reduce_and_sync, unsigned, (a & b))
AHA_REDUCE(__reduce_or_sync, unsigned, (a | b))
AHA_REDUCE(__reduce_xor_sync, unsigned, (a ^ b))

// Integer atomics. There are none for floats, since sums must not depend on
// timing. Threads never run at the same time, so plain code is atomic.
#define AHA_ATOMIC_OP(NAME, T, EXPRESSION) \
	static AHA_UNCHECKED __attribute__((noinline)) T NAME(T *at, T v) { \
		aha_emu.access(at, sizeof(T), AHA_ATOMIC, __builtin_return_address(0)); \
		T old = *at; \
		*at = EXPRESSION; \
		return old; \
	}
#define AHA_ATOMICS(T) \
	AHA_ATOMIC_OP(atomicExch, T, v) \
	AHA_ATOMIC_OP(atomicMin, T, old < v ? old : v) \
	AHA_ATOMIC_OP(atomicMax, T, old > v ? old : v) \
	AHA_ATOMIC_OP(atomicAnd, T, (old & v)) \
	AHA_ATOMIC_OP(atomicOr, T, (old | v)) \
	AHA_ATOMIC_OP(atomicXor, T, (old ^ v)) \
	static AHA_UNCHECKED __attribute__((noinline)) T atomicCAS(T *at, T compare, T v) { \
		aha_emu.access(at, sizeof(T), AHA_ATOMIC, __builtin_return_address(0)); \
		T old = *at; \
		if (old == compare) *at = v; \
		return old; \
	}
#pragma GCC diagnostic ignored "-Wunused-function"
AHA_ATOMICS(int)
AHA_ATOMICS(unsigned)
AHA_ATOMICS(unsigned long long)
AHA_ATOMIC_OP(atomicAdd, int, int(unsigned(old) + unsigned(v)))
AHA_ATOMIC_OP(atomicAdd, unsigned, old + v)
AHA_ATOMIC_OP(atomicAdd, unsigned long long, old + v)
AHA_ATOMIC_OP(atomicSub, int, int(unsigned(old) - unsigned(v)))
AHA_ATOMIC_OP(atomicSub, unsigned, old - v)
AHA_ATOMIC_OP(atomicInc, unsigned, old >= v ? 0 : old + 1)

// Loads and stores with cache hints.
#define AHA_LOAD(NAME) \
	template <class T> static inline T NAME(const T *at) { return *at; }
AHA_LOAD(__ldg)
AHA_LOAD(__ldca)
AHA_LOAD(__ldcg)
AHA_LOAD(__ldcs)
AHA_LOAD(__ldlu)
#define AHA_STORE(NAME) \
	template <class T> static inline void NAME(T *at, T v) { *at = v; }
AHA_STORE(__stwb)
AHA_STORE(__stcg)
AHA_STORE(__stcs)
AHA_STORE(__stwt)

#include "math.h"
#if AHA_EMU_CHECKED
#include "sanitize.h"
#endif
