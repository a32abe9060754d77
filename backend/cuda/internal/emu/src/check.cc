// Check mode. For each byte of device and shared memory it records who wrote it
// last and who has read it since. Threads of a block are ordered by barriers,
// those of a warp also by __syncwarp, and operations by streams, events and the
// host. Accesses that nothing orders are a race. A byte that was never written
// is uninitialised.
#include "emu.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace emu {

// A Mark says who accessed a byte. Its fields, from the highest bit, are the
// interval (each stretch between two barriers of each block has a number), the
// thread, its number of __syncwarps in the interval, and whether the access was
// atomic. 0 means nobody.
typedef uint64_t Mark;
const int interval_shift = 24, thread_shift = 14, clock_shift = 1;
const uint64_t clock_limit = (1 << 13) - 1;

struct Cells {
	size_t size;
	Mark *writes, *reads, *others; // others: last read by another warp or block than that in reads
};

static uint64_t interval = 0, block_first = 1, op_first = 1;
static bool fenced;                    // the block has executed __threadfence
static uint16_t clocks[max_threads];   // number of __syncwarps since the barrier
static uint16_t seen[max_threads][32]; // for each thread, the clocks of its warp's lanes that it knows

// Operations, to describe accesses by operations that are not running.
struct Operation {
	uint64_t first;
	unsigned stream;
	uint64_t seq;
};
static std::vector<Operation> operations;
static Clock op_clock;
static bool several_streams;

static uintptr_t dynamic_at;
static size_t dynamic_size;
static Cells *dynamic_cells;

Cells *new_cells(size_t size) {
	void *p = mmap(
		nullptr, 3 * size * sizeof(Mark), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) return nullptr;
	auto *marks = static_cast<Mark *>(p);
	return new Cells{size, marks, marks + size, marks + 2 * size};
}

void delete_cells(Cells *c) {
	munmap(c->writes, 3 * c->size * sizeof(Mark));
	delete c;
}

void check_begin(unsigned stream, uint64_t seq, const Clock &clock) {
	op_first = block_first = ++interval;
	if (!operations.empty() && operations.back().stream != stream) several_streams = true;
	operations.push_back({interval, stream, seq});
	op_clock = clock;
	running.thread = 0;
}

void check_barrier() {
	interval++;
	memset(clocks, 0, sizeof clocks);
	memset(seen, 0, sizeof seen);
}

void check_block() {
	check_barrier();
	block_first = interval;
	fenced = false;
}

void check_fence() { fenced = true; }

void check_dynamic(uintptr_t at, size_t size) {
	if (!dynamic_cells) dynamic_cells = new_cells(shared_optin);
	dynamic_at = at;
	dynamic_size = size;
}

// Each lane of the mask learns what the others know; then a new stretch starts.
void check_syncwarp(unsigned warp, unsigned mask) {
	uint16_t all[32] = {};
	for (unsigned l = 0; l < 32; l++) {
		if (!(mask >> l & 1)) continue;
		unsigned t = warp * 32 + l;
		for (int i = 0; i < 32; i++) all[i] = std::max(all[i], seen[t][i]);
		all[l] = std::max<uint16_t>(all[l], uint16_t(clocks[t] + 1));
		if (clocks[t] < clock_limit - 1) clocks[t]++;
	}
	for (unsigned l = 0; l < 32; l++) {
		if (mask >> l & 1) memcpy(seen[warp * 32 + l], all, sizeof all);
	}
}

static unsigned thread_of(Mark m) { return unsigned(m >> thread_shift) & (max_threads - 1); }

static Mark own_mark(bool atomic) {
	unsigned t = running.thread;
	return interval << interval_shift | uint64_t(t) << thread_shift | uint64_t(clocks[t]) << clock_shift | atomic;
}

enum Relation { ordered, same_block, other_block, other_stream };

// relation returns whether an earlier access is ordered before the present one
// and, if not, who made it.
static Relation relation(Mark m, Mark own) {
	uint64_t i = m >> interval_shift;
	if (i < op_first) {
		if (!several_streams || !m) return ordered;
		auto after = std::upper_bound(
			operations.begin(), operations.end(), i, [](uint64_t i, const Operation &o) { return i < o.first; });
		if (after == operations.begin()) return ordered;
		const Operation &o = after[-1];
		bool known = o.stream < op_clock.size() && op_clock[o.stream] >= o.seq;
		return known ? ordered : other_stream;
	}
	if (m & own & 1) return ordered; // both atomic
	if (i < block_first) return fenced ? ordered : other_block;
	if (i < interval) return ordered;
	unsigned t = thread_of(m), self = thread_of(own);
	if (t == self) return ordered;
	uint64_t clock = m >> clock_shift & clock_limit;
	if (t / 32 == self / 32 && seen[self][t % 32] > clock) return ordered;
	return same_block;
}

static std::string race(Relation how, Mark m, const char *what, const char *before) {
	switch (how) {
	case other_stream:
		return format("race: %s what an operation of another stream %s, with no event between them", what, before);
	case other_block: return format("race: %s what another block of the launch %s", what, before);
	default: {
		aha_dim b = running.launch->block;
		unsigned t = thread_of(m);
		return format("race: %s what thread (%u,%u,%u) %s since the last barrier", what, t % b.x, t / b.x % b.y,
			t / b.x / b.y, before);
	}
	}
}

// A Sight is the memory of an access. cells is null if the memory is not
// checked.
struct Sight {
	Cells *cells;
	size_t offset;
	uint64_t first; // ignore intervals before this one: they belong to the shared memory of earlier blocks
};

// outside describes an access that look has found out of bounds.
static std::string outside(uintptr_t at, size_t size) {
	const Launch &l = *running.launch;
	if (on_device(at)) {
		Allocation *a = find(at);
		if (a && a->live && at >= a->at && at - a->at < a->size) at = a->at + a->size; // starts inside
		return format("%zu bytes ", size) + describe(at);
	}
	const Module &m = *l.function->module;
	if (at - m.base < m.end - m.base) {
		for (const auto &v : l.function->shared) {
			if (at - v.at < v.size)
				return format(
					"%zu bytes at byte %zu of %s, which has %zu", size, size_t(at - v.at), v.name.c_str(), v.size);
		}
		return format("%zu bytes of shared memory that this kernel does not have", size);
	}
	if (at - (dynamic_end() - shared_optin - 4096) < shared_optin + 2 * 4096) {
		return format(
			"%zu bytes at byte %ld of dynamic shared memory of %zu bytes", size, long(at - dynamic_at), dynamic_size);
	}
	return format("%zu bytes at address %#zx, which is neither device nor shared memory", size, size_t(at));
}

static bool look(uintptr_t at, size_t size, Sight &s) {
	if (on_device(at)) {
		Allocation *a = find(at);
		if (!a || !a->live || at < a->at || at - a->at + size > a->size) return false;
		s = {a->cells, at - a->at, 1};
		return true;
	}
	if (at - dynamic_at < dynamic_size) {
		s = {dynamic_cells, at - dynamic_at, block_first};
		return at - dynamic_at + size <= dynamic_size;
	}
	const Module &m = *running.launch->function->module;
	if (at - m.base >= m.end - m.base) return false;
	for (const auto &v : running.launch->function->shared) {
		if (at - v.at >= v.size) continue;
		s = {m.cells, at - m.base, block_first};
		return at - v.at + size <= v.size;
	}
	for (const auto &v : m.variables) {
		if (at - v.at < v.size) return false;
	}
	s = {}; // a constant
	return true;
}

static std::string place(uintptr_t at) {
	if (on_device(at)) return " (" + describe(at) + ")";
	if (at - dynamic_at < dynamic_size)
		return format(" (byte %zu of dynamic shared memory)", size_t(at - dynamic_at));
	for (const auto &v : running.launch->function->shared) {
		if (at - v.at < v.size) return format(" (byte %zu of %s)", size_t(at - v.at), v.name.c_str());
	}
	return "";
}

[[noreturn]] static void fail_at(CUresult code, const std::string &what, const void *pc) {
	fail(code, what, source(*running.launch->function->module, reinterpret_cast<uintptr_t>(pc) - 1));
}

void check_access(const void *p, unsigned long size, aha_access kind, const void *pc) {
	auto at = reinterpret_cast<uintptr_t>(p);
	if (!config.check || at - stacks() < max_threads * stack_size) return;
	Sight s;
	const char *verb = kind == AHA_READ ? "reads" : kind == AHA_WRITE ? "writes" : "changes";
	if (!look(at, size, s)) fail_at(ILLEGAL_ADDRESS, std::string(verb) + " " + outside(at, size), pc);
	if (!s.cells) return;
	Mark own = own_mark(kind == AHA_ATOMIC);
	Mark *writes = s.cells->writes + s.offset, *reads = s.cells->reads + s.offset,
		 *others = s.cells->others + s.offset;
	Mark seen_write = ~Mark(0);
	for (size_t i = 0; i < size; i++) {
		if (Mark w = writes[i]; w != seen_write) { // usually all bytes have the same mark
			seen_write = w;
			if (w >> interval_shift < s.first) {
				if (kind != AHA_WRITE)
					fail_at(LAUNCH_FAILED, std::string(verb) + " what nobody has written" + place(at + i), pc);
			} else if (Relation how = relation(w, own)) {
				fail_at(LAUNCH_FAILED, race(how, w, verb, "wrote") + place(at + i), pc);
			}
		}
		if (kind == AHA_READ) {
			if (Mark r = reads[i]; r != own) {
				if (thread_of(r) / 32 != thread_of(own) / 32 || r >> interval_shift < block_first) others[i] = r;
				reads[i] = own;
			}
			continue;
		}
		for (Mark r : {reads[i], others[i]}) {
			if (r >> interval_shift < s.first) continue;
			if (Relation how = relation(r, own))
				fail_at(LAUNCH_FAILED, race(how, r, verb, "read") + place(at + i), pc);
		}
		writes[i] = own;
	}
}

std::string check_copy(CUdeviceptr to, CUdeviceptr from, size_t size) {
	Mark own = own_mark(false);
	Allocation *source = from ? find(from) : nullptr, *target = to ? find(to) : nullptr;
	Relation how;
	for (size_t i = 0; i < size; i++) {
		Mark written = own;
		if (source) {
			size_t at = from - source->at + i;
			Mark w = source->cells->writes[at];
			if ((how = relation(w, own))) return race(how, w, "a copy reads", "wrote") + place(from + i);
			source->cells->others[at] = source->cells->reads[at];
			source->cells->reads[at] = own;
			if (!w) written = 0;
		}
		if (!target) continue;
		size_t at = to - target->at + i;
		for (Mark m : {target->cells->writes[at], target->cells->reads[at], target->cells->others[at]}) {
			if ((how = relation(m, own))) return race(how, m, "a copy writes", "used") + place(to + i);
		}
		target->cells->writes[at] = written;
	}
	return "";
}

std::string check_read(CUdeviceptr from, size_t size) {
	Allocation *source = find(from);
	for (size_t i = 0; i < size; i++) {
		if (!source->cells->writes[from - source->at + i]) return "reads what nobody has written" + place(from + i);
	}
	return check_copy(0, from, size);
}

} // namespace emu
