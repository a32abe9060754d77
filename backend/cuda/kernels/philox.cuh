// The counter-based generator Philox4x32-10, with the bits of backend.Philox.
#pragma once

struct Words { unsigned w[4]; };

__device__ inline Words philox(unsigned long long key, unsigned long long hi, unsigned long long lo) {
	unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
	Words c = {{(unsigned)lo, (unsigned)(lo >> 32), (unsigned)hi, (unsigned)(hi >> 32)}};
	for (int round = 0; round < 10; round++) {
		unsigned long long p = 0xD2511F53ull * c.w[0], q = 0xCD9E8D57ull * c.w[2];
		c = {{(unsigned)(q >> 32) ^ c.w[1] ^ k0, (unsigned)q, (unsigned)(p >> 32) ^ c.w[3] ^ k1, (unsigned)p}};
		k0 += 0x9E3779B9;
		k1 += 0xBB67AE85;
	}
	return c;
}

template <class T> __device__ inline T uniform(unsigned word) {
	T u = (T)(word * 0x1p-32);
	return u < 1 ? u : (T)(1 - 0x1p-24);
}
