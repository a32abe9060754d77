// Device memory: pages of a reserved address range, with unmapped pages between
// allocations. So a kernel that accesses memory far enough outside of an
// allocation, or a freed one, faults. Each allocation ends at the end of a
// page. Addresses are reused only when the range is used up.
#include "emu.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unordered_map>

namespace emu {

const size_t arena_size = size_t(1) << 40, page = 4096;
static uintptr_t arena = 0;
static uintptr_t next_free = 0;
static Allocation **pages = nullptr; // the allocation of each page of the range
static std::unordered_map<uintptr_t, Allocation *> live;
static size_t used = 0;
static uint64_t serial = 0;
static std::map<uintptr_t, size_t> host;

static void *reserve(size_t size, int protection) {
	void *p = mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? nullptr : p;
}

uintptr_t guarded(size_t size) {
	size = (size + page - 1) / page * page;
	auto at = reinterpret_cast<uintptr_t>(reserve(size + 2 * page, PROT_NONE));
	if (!at || mprotect(reinterpret_cast<void *>(at + page), size, PROT_READ | PROT_WRITE)) abort();
	return at + page;
}

bool on_device(uintptr_t at) { return arena && at - arena < arena_size; }

Allocation *find(uintptr_t at) { return on_device(at) ? pages[(at - arena) / page] : nullptr; }

// poison fills memory with 0x7fffffff: a NaN in every float format, and an
// index that is out of range of every array.
void poison(void *at, size_t size) {
	auto *bytes = static_cast<unsigned char *>(at);
	size_t words = size / 8;
	auto *word = reinterpret_cast<uint64_t *>(bytes);
	for (size_t i = 0; i < words; i++) word[i] = 0x7fffffff7fffffff;
	memset(bytes + words * 8, 0x7f, size - words * 8);
}

// room finds unmapped pages with one more unmapped page on each side.
static uintptr_t room(size_t need) {
	for (int round = 0; round < 2; round++) {
		while (next_free + need + page <= arena + arena_size) {
			uintptr_t at = next_free;
			Allocation *taken = nullptr;
			if (round) {
				for (size_t i = 0; i < need + page && !taken; i += page) {
					Allocation *a = pages[(at + i - arena) / page];
					if (a && a->live) taken = a;
				}
			}
			if (!taken) {
				next_free = at + need + page;
				return at;
			}
			next_free = taken->pages + taken->mapped + page;
		}
		next_free = arena + page;
	}
	return 0;
}

CUresult allocate(size_t size, CUdeviceptr *out) {
	if (!size) return INVALID_VALUE;
	if (size > config.memory || used + size > config.memory) return OUT_OF_MEMORY;
	if (!arena) {
		void *table = reserve(arena_size / page * sizeof *pages, PROT_READ | PROT_WRITE);
		void *range = reserve(arena_size, PROT_NONE);
		if (!table || !range) return OUT_OF_MEMORY;
		pages = static_cast<Allocation **>(table);
		arena = reinterpret_cast<uintptr_t>(range);
		next_free = arena + page;
	}
	size_t span = (size + 255) / 256 * 256, need = (span + page - 1) / page * page;
	uintptr_t at = room(need);
	if (!at || mprotect(reinterpret_cast<void *>(at), need, PROT_READ | PROT_WRITE)) return OUT_OF_MEMORY;
	poison(reinterpret_cast<void *>(at), need);
	auto *a = new Allocation{at + need - span, size, at, need, ++serial};
	if (config.check) a->cells = new_cells(size);
	for (size_t i = 0; i < need; i += page) pages[(at + i - arena) / page] = a;
	live[a->at] = a;
	used += size;
	*out = a->at;
	return SUCCESS;
}

static void unmap(Allocation *a) {
	mmap(reinterpret_cast<void *>(a->pages), a->mapped, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (a->cells) delete_cells(a->cells);
	a->cells = nullptr;
	a->live = false;
	used -= a->size;
}

CUresult release(CUdeviceptr at) {
	auto it = live.find(at);
	if (it == live.end()) {
		report(format("cuMemFree of %s", describe(at).c_str()));
		return INVALID_VALUE;
	}
	unmap(it->second);
	live.erase(it);
	return SUCCESS;
}

void release_all() {
	for (auto &[at, a] : live) unmap(a);
	live.clear();
}

size_t memory_used() { return used; }
size_t allocations() { return live.size(); }
size_t host_blocks() { return host.size(); }

bool in_range(CUdeviceptr at, size_t size) {
	Allocation *a = find(at);
	return a && a->live && at >= a->at && size <= a->size && at - a->at <= a->size - size;
}

std::string describe(uintptr_t at) {
	if (!on_device(at)) return format("address %#zx, which is not in device memory", size_t(at));
	Allocation *a = find(at);
	if (!a) { // a guard page: name the neighbouring allocation
		for (size_t i = page; i <= 16 * page && !a && at - i >= arena; i += page) a = find(at - i);
	}
	if (!a) return format("address %#zx, outside every allocation", size_t(at));
	long past = long(at - a->at) - long(a->size);
	std::string place = at < a->at  ? format("%ld bytes before", long(a->at - at))
	                    : past >= 0 ? format("%ld bytes after the end of", past)
	                                : format("at offset %zu of", size_t(at - a->at));
	return format("%s %s allocation %llu of %zu bytes", place.c_str(), a->live ? "the" : "the freed",
		(unsigned long long)a->serial, a->size);
}

void *host_allocate(size_t size) {
	void *p = nullptr;
	if (!size || posix_memalign(&p, 4096, size)) return nullptr;
	poison(p, size);
	host[reinterpret_cast<uintptr_t>(p)] = size;
	return p;
}

bool host_free(void *p) {
	if (!host.erase(reinterpret_cast<uintptr_t>(p))) return false;
	free(p);
	return true;
}

bool pinned(const void *p, size_t size) {
	auto at = reinterpret_cast<uintptr_t>(p);
	auto it = host.upper_bound(at);
	if (it == host.begin()) return false;
	--it;
	return at - it->first <= it->second && size <= it->second - (at - it->first);
}

} // namespace emu
