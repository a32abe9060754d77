// The interface between the emulator and a compiled kernel file. Both include
// this file; its hash is part of the version that nvrtcVersion returns.
#pragma once

struct aha_dim {
	unsigned x, y, z;
};

// The kinds of memory access that check mode reports.
enum aha_access { AHA_READ, AHA_WRITE, AHA_ATOMIC };

// The reductions of __syncthreads_count, _and and _or.
enum aha_vote { AHA_COUNT, AHA_AND, AHA_OR };

// aha_all computes a warp operation once for all lanes. lanes[i] is the struct
// that lane i passed, or null if that lane does not take part.
typedef void (*aha_all)(void **lanes, unsigned mask, const char *file, int line);

// aha_state is the emulator's data in a kernel file: the position of the
// running thread, and the functions of the emulator that kernels call.
struct aha_state {
	struct aha_dim thread, block, block_dim, grid_dim;
	void *dynamic;               // dynamic shared memory
	unsigned long stack, stacks; // address and size of the stacks of all threads
	int (*barrier)(enum aha_vote vote, int value, const char *name, const char *file, int line);
	void (*warp)(unsigned mask, const char *name, void *data, aha_all all, const char *file, int line);
	unsigned (*live)(void);
	void (*fence)(void);
	void (*access)(const void *at, unsigned long size, enum aha_access kind, const void *pc);
	void (*fail)(int code, const char *what, const char *file, int line);
};

// aha_kernel describes a kernel. call runs one thread; args[i] points to
// parameter i.
struct aha_kernel {
	void (*call)(void **args);
	unsigned count;
	const unsigned *sizes;
	unsigned max_threads; // from __launch_bounds__, or 1024
};
