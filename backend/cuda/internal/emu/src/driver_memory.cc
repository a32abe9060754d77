// The entry points of libcuda: memory and copies.
#include "call.h"

#include <algorithm>
#include <cstring>

using namespace emu;

EXPORT CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
	ENTER("cuMemGetInfo_v2", context);
	*total = config.memory;
	*free = config.memory - memory_used();
	return SUCCESS;
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t size) {
	ENTER("cuMemAlloc_v2", context, OUT_OF_MEMORY);
	return allocate(size, at);
}

// Unlike the driver's, it does not wait for the device: queued work that uses
// the memory fails.
EXPORT CUresult cuMemFree_v2(CUdeviceptr at) {
	ENTER("cuMemFree_v2", context);
	return at ? release(at) : SUCCESS;
}

EXPORT CUresult cuMemHostAlloc(void **at, size_t size, unsigned) {
	ENTER("cuMemHostAlloc", context, OUT_OF_MEMORY);
	*at = host_allocate(size);
	return *at ? SUCCESS : size ? OUT_OF_MEMORY : INVALID_VALUE;
}

EXPORT CUresult cuMemFreeHost(void *at) {
	ENTER("cuMemFreeHost", context);
	return host_free(at) ? SUCCESS : refuse("cuMemFreeHost of memory that cuMemHostAlloc has not given");
}

namespace {

// gone describes memory of a queued operation that no longer exists, or returns
// "".
std::string gone(const char *name, CUdeviceptr at, size_t size) {
	if (!at || in_range(at, size)) return "";
	return format("%s of %zu bytes: %s", name, size, describe(at).c_str());
}

CUresult queue_copy(const char *name, Stream &s, CUdeviceptr to, CUdeviceptr from, void *host_to,
	const void *host_from, size_t size) {
	if (!size) return SUCCESS;
	for (CUdeviceptr at : {to, from}) {
		if (std::string error = gone(name, at, size); !error.empty()) return refuse(error);
	}
	const void *host = host_to ? host_to : host_from;
	if ((!to || !from) && (!host || on_device(reinterpret_cast<uintptr_t>(host)))) {
		return refuse(format("%s: the host's pointer is %s", name, host ? "a device address" : "null"));
	}
	bool async = !host || pinned(host, size);
	std::shared_ptr<char[]> staged;
	if (host_from && !async) { // pageable memory is read before the call returns
		staged.reset(new char[size]);
		memcpy(staged.get(), host_from, size);
		host_from = staged.get();
	}
	enqueue(s, [=, keep = staged] {
		for (CUdeviceptr at : {to, from}) {
			if (std::string error = gone(name, at, size); !error.empty()) return refuse(error, ILLEGAL_ADDRESS);
		}
		if (host && async && !pinned(host, size))
			return refuse(format("%s: the pinned memory has been freed", name), ILLEGAL_ADDRESS);
		if (config.check) {
			if (std::string error = check_copy(to, from, size); !error.empty()) return refuse(error, LAUNCH_FAILED);
		}
		memmove(to ? reinterpret_cast<void *>(to) : host_to, from ? reinterpret_cast<const void *>(from) : host_from,
			size);
		return CUresult(SUCCESS);
	});
	if (!host_to || async) return SUCCESS;
	CUresult rc = run_until(s, s.queued); // pageable memory is written before the call returns
	if (!rc) host_saw(s.clock);
	return rc;
}

} // namespace

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, void *stream) {
	ENTER("cuMemcpyHtoDAsync_v2", context);
	STREAM(s, stream);
	return queue_copy("cuMemcpyHtoDAsync", *s, to, 0, nullptr, from, size);
}

EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, void *stream) {
	ENTER("cuMemcpyDtoHAsync_v2", context);
	STREAM(s, stream);
	return queue_copy("cuMemcpyDtoHAsync", *s, 0, from, to, nullptr, size);
}

EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, void *stream) {
	ENTER("cuMemcpyDtoDAsync_v2", context);
	STREAM(s, stream);
	return queue_copy("cuMemcpyDtoDAsync", *s, to, from, nullptr, nullptr, size);
}

EXPORT CUresult cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t size, void *stream) {
	ENTER("cuMemsetD8Async", context);
	STREAM(s, stream);
	if (!size) return SUCCESS;
	if (std::string error = gone("cuMemsetD8Async", at, size); !error.empty()) return refuse(error);
	enqueue(*s, [=] {
		if (std::string error = gone("cuMemsetD8Async", at, size); !error.empty())
			return refuse(error, ILLEGAL_ADDRESS);
		if (config.check) {
			if (std::string error = check_copy(at, 0, size); !error.empty()) return refuse(error, LAUNCH_FAILED);
		}
		memset(reinterpret_cast<void *>(at), value, size);
		return CUresult(SUCCESS);
	});
	return SUCCESS;
}

// For tests: returns how many allocations, blocks of pinned memory, streams,
// events and modules the program has not freed.
EXPORT void ahaEmuHeld(size_t counts[5]) {
	std::lock_guard<std::mutex> guard(lock);
	const size_t now[] = {allocations(), host_blocks(), streams.size(), events.size(), modules.size()};
	std::copy(now, now + 5, counts);
}
