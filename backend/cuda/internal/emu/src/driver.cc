// The entry points of libcuda.
#include "emu.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

using namespace emu;

namespace {

std::mutex lock; // of all but compiling
bool initialized = false;
int retained = 0;               // references to the primary context
thread_local int current = 0;   // generation of the context that is current on this thread
int generation = 0;             // of the primary context

std::unordered_map<const void *, std::shared_ptr<Stream>> streams;
std::unordered_set<Event *> events;
std::unordered_set<Module *> modules;
std::unordered_set<Function *> functions;

char primary; // its address is the context's handle

// A Call is the time within an entry point.
struct Call {
	std::lock_guard<std::mutex> guard{lock};
	CUresult rc = SUCCESS;

	enum Needs { nothing, init, context };

	Call(const char *name, Needs needs, int failure = UNKNOWN) {
		if (int code = injected(name, failure)) {
			rc = code;
			if (code == ILLEGAL_ADDRESS || code == MISALIGNED_ADDRESS || code == LAUNCH_FAILED) {
				report(std::string("injected into ") + name);
				sticky = code;
				drop_all();
			}
			return;
		}
		if (needs >= init && !initialized) {
			rc = NOT_INITIALIZED;
		} else if (needs == context && (!retained || current != generation)) {
			rc = INVALID_CONTEXT;
		} else if (needs == context) {
			rc = sticky;
		}
	}
};

#define ENTER(NAME, NEEDS, ...) \
	Call call(NAME, Call::NEEDS, ##__VA_ARGS__); \
	if (call.rc) return call.rc

CUresult refuse(const std::string &text, CUresult rc = INVALID_VALUE) {
	report(text);
	return rc;
}

std::shared_ptr<Stream> stream_of(void *handle, CUresult *rc) {
	auto it = streams.find(handle);
	if (it != streams.end()) return it->second;
	*rc = refuse(handle ? "unknown stream" : "the NULL stream, which orders itself with all others, is refused", INVALID_HANDLE);
	return nullptr;
}

#define STREAM(NAME, HANDLE) \
	CUresult unknown = SUCCESS; \
	auto NAME = stream_of(HANDLE, &unknown); \
	if (unknown) return unknown

struct Name {
	CUresult code;
	const char *name, *text;
};
const Name names[] = {
	{SUCCESS, "CUDA_SUCCESS", "no error"},
	{INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
	{OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	{NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
	{100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
	{INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
	{INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
	{INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
	{INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
	{NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
	{NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
	{ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
	{LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
	{MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
	{LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
	{UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

const Name *name_of(CUresult code) {
	for (const auto &n : names) {
		if (n.code == code) return &n;
	}
	return nullptr;
}

// The device: sm_80, so that kernels take their most common path.
struct Attribute {
	int id, value;
};
const Attribute attributes[] = {
	{1, 1024}, {2, 1024}, {3, 1024}, {4, 64},             // threads of a block; along x, y, z
	{5, 0x7fffffff}, {6, 65535}, {7, 65535},              // blocks of a grid
	{8, int(shared_limit)}, {9, 65536}, {10, 32},         // shared memory, constant memory, warp
	{11, 0x7fffffff}, {12, 65536}, {13, 1000000},         // pitch, registers, clock in kHz
	{14, 512}, {15, 1}, {16, 4}, {17, 0}, {18, 0},        // texture alignment, overlap, multiprocessors, timeout, integrated
	{19, 1}, {20, 0}, {31, 1}, {32, 0}, {33, 0}, {34, 0}, // host mapping, compute mode, concurrency, ECC, PCI bus, device
	{36, 1000000}, {37, 512}, {38, 4 << 20}, {39, 2048},  // memory clock and width, L2 cache, threads of a multiprocessor
	{40, 1}, {41, 1}, {75, 8}, {76, 0},                   // copy engines, unified addresses, compute capability
	{81, 164 << 10}, {82, 65536}, {83, 0}, {88, 0},       // shared memory and registers of a multiprocessor, managed, pageable
	{97, int(shared_optin)}, {111, 1024}, {115, 0},       // shared memory by opt-in, reserved, memory pools
};

// reset is what the end of the primary context does.
void reset() {
	drop_all();
	for (auto &[handle, s] : streams) forget_stream(s);
	streams.clear();
	for (auto *e : events) delete e;
	events.clear();
	functions.clear();
	for (auto *m : modules) delete m;
	modules.clear();
	release_all();
	sticky = SUCCESS;
	clear_report();
}

} // namespace

EXPORT CUresult cuInit(unsigned flags) {
	std::lock_guard<std::mutex> guard(lock);
	if (std::string error = configure(); !error.empty()) return refuse(error);
	if (int code = injected("cuInit", UNKNOWN)) return code;
	if (flags) return INVALID_VALUE;
	initialized = true;
	return SUCCESS;
}

EXPORT CUresult cuDriverGetVersion(int *version) {
	ENTER("cuDriverGetVersion", nothing);
	*version = 13000;
	return SUCCESS;
}

EXPORT CUresult cuGetErrorName(CUresult code, const char **name) {
	ENTER("cuGetErrorName", nothing);
	auto *n = name_of(code);
	*name = n ? n->name : nullptr;
	return n ? SUCCESS : INVALID_VALUE;
}

// cuGetErrorString says what the last report did, too.
EXPORT CUresult cuGetErrorString(CUresult code, const char **text) {
	ENTER("cuGetErrorString", nothing);
	auto *n = name_of(code);
	*text = n ? n->text : nullptr;
	if (n && code && !last_report().empty()) {
		static std::unordered_set<std::string> kept; // callers may hold the text
		*text = kept.insert(std::string(n->text) + " (emulator: " + last_report() + ")").first->c_str();
	}
	return n ? SUCCESS : INVALID_VALUE;
}

EXPORT CUresult cuDeviceGetCount(int *count) {
	ENTER("cuDeviceGetCount", init);
	*count = 1;
	return SUCCESS;
}

EXPORT CUresult cuDeviceGet(int *device, int ordinal) {
	ENTER("cuDeviceGet", init);
	*device = 0;
	return ordinal ? INVALID_DEVICE : SUCCESS;
}

EXPORT CUresult cuDeviceGetName(char *name, int size, int device) {
	ENTER("cuDeviceGetName", init);
	if (device || size < 1) return device ? INVALID_DEVICE : INVALID_VALUE;
	snprintf(name, size_t(size), "%s", config.check ? "emulator, checking" : "emulator");
	return SUCCESS;
}

EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
	ENTER("cuDeviceGetAttribute", init);
	if (device) return INVALID_DEVICE;
	for (const auto &a : attributes) {
		if (a.id != attribute) continue;
		*value = a.value;
		return SUCCESS;
	}
	return refuse(format("the emulator has no device attribute %d", attribute));
}

EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) {
	ENTER("cuDeviceTotalMem_v2", init);
	*bytes = config.memory;
	return device ? INVALID_DEVICE : SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
	ENTER("cuDevicePrimaryCtxRetain", init);
	if (device) return INVALID_DEVICE;
	if (!retained++) generation++;
	*context = &primary;
	return SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(int device) {
	ENTER("cuDevicePrimaryCtxRelease_v2", init);
	if (device || !retained) return device ? INVALID_DEVICE : INVALID_CONTEXT;
	if (!--retained) reset();
	return SUCCESS;
}

EXPORT CUresult cuCtxSetCurrent(void *context) {
	ENTER("cuCtxSetCurrent", init);
	if (context && (context != &primary || !retained)) return INVALID_CONTEXT;
	current = context ? generation : 0;
	return SUCCESS;
}

EXPORT CUresult cuCtxGetCurrent(void **context) {
	ENTER("cuCtxGetCurrent", init);
	*context = retained && current == generation ? &primary : nullptr;
	return SUCCESS;
}

EXPORT CUresult cuCtxSynchronize() {
	ENTER("cuCtxSynchronize", context);
	return run_all();
}

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

// Unlike the driver's, it does not wait for the device: what is queued and uses the
// memory fails.
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

// still says what of a queued operation's memory is gone, or "".
std::string gone(const char *name, CUdeviceptr at, size_t size) {
	if (!at || in_range(at, size)) return "";
	return format("%s of %zu bytes: %s", name, size, describe(at).c_str());
}

CUresult queue_copy(const char *name, Stream &s, CUdeviceptr to, CUdeviceptr from, void *host_to, const void *host_from, size_t size) {
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
		if (host && async && !pinned(host, size)) return refuse(format("%s: the pinned memory has been freed", name), ILLEGAL_ADDRESS);
		if (config.check) {
			if (std::string error = check_copy(to, from, size); !error.empty()) return refuse(error, LAUNCH_FAILED);
		}
		memmove(to ? reinterpret_cast<void *>(to) : host_to, from ? reinterpret_cast<const void *>(from) : host_from, size);
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
		if (std::string error = gone("cuMemsetD8Async", at, size); !error.empty()) return refuse(error, ILLEGAL_ADDRESS);
		if (config.check) {
			if (std::string error = check_copy(at, 0, size); !error.empty()) return refuse(error, LAUNCH_FAILED);
		}
		memset(reinterpret_cast<void *>(at), value, size);
		return CUresult(SUCCESS);
	});
	return SUCCESS;
}

EXPORT CUresult cuStreamCreate(void **stream, unsigned flags) {
	ENTER("cuStreamCreate", context);
	if (flags > 1) return INVALID_VALUE;
	auto s = new_stream();
	streams[s.get()] = s;
	*stream = s.get();
	return SUCCESS;
}

EXPORT CUresult cuStreamDestroy_v2(void *stream) {
	ENTER("cuStreamDestroy_v2", context);
	STREAM(s, stream);
	CUresult rc = run_until(*s, s->queued);
	forget_stream(s);
	streams.erase(stream);
	return rc;
}

EXPORT CUresult cuStreamSynchronize(void *stream) {
	ENTER("cuStreamSynchronize", context);
	STREAM(s, stream);
	CUresult rc = run_until(*s, s->queued);
	if (!rc) host_saw(s->clock);
	return rc;
}

// A query runs one operation, so that polling ends.
EXPORT CUresult cuStreamQuery(void *stream) {
	ENTER("cuStreamQuery", context);
	STREAM(s, stream);
	if (s->ops.empty()) {
		host_saw(s->clock);
		return SUCCESS;
	}
	CUresult rc = run_one(*s);
	return rc ? rc : NOT_READY;
}

EXPORT CUresult cuStreamWaitEvent(void *stream, Event *event, unsigned) {
	ENTER("cuStreamWaitEvent", context);
	STREAM(s, stream);
	if (!events.count(event)) return INVALID_HANDLE;
	wait_for(*s, *event);
	return SUCCESS;
}

EXPORT CUresult cuEventCreate(Event **event, unsigned flags) {
	ENTER("cuEventCreate", context);
	*event = new Event;
	(*event)->timing = !(flags & 2);
	events.insert(*event);
	return SUCCESS;
}

EXPORT CUresult cuEventDestroy_v2(Event *event) {
	ENTER("cuEventDestroy_v2", context);
	if (!events.erase(event)) return INVALID_HANDLE;
	delete event;
	return SUCCESS;
}

EXPORT CUresult cuEventRecord(Event *event, void *stream) {
	ENTER("cuEventRecord", context);
	STREAM(s, stream);
	if (!events.count(event)) return INVALID_HANDLE;
	record(s, *event);
	return SUCCESS;
}

EXPORT CUresult cuEventQuery(Event *event) {
	ENTER("cuEventQuery", context);
	if (!events.count(event)) return INVALID_HANDLE;
	if (event->stream && event->stream->done < event->at) {
		CUresult rc = run_one(*event->stream);
		return rc ? rc : NOT_READY;
	}
	host_saw(event->clock);
	return SUCCESS;
}

EXPORT CUresult cuEventSynchronize(Event *event) {
	ENTER("cuEventSynchronize", context);
	if (!events.count(event)) return INVALID_HANDLE;
	if (!event->stream) return SUCCESS;
	CUresult rc = run_until(*event->stream, event->at);
	if (!rc) host_saw(event->clock);
	return rc;
}

EXPORT CUresult cuEventElapsedTime(float *ms, Event *from, Event *to) {
	ENTER("cuEventElapsedTime", context);
	for (Event *e : {from, to}) {
		if (!events.count(e) || !e->timing || !e->stream) return INVALID_HANDLE;
		if (e->stream->done < e->at) return NOT_READY;
	}
	*ms = float(*to->time - *from->time);
	return SUCCESS;
}

EXPORT CUresult cuModuleLoadData(Module **module, const void *image) {
	ENTER("cuModuleLoadData", context);
	std::string error;
	auto m = load(image, error);
	if (!m) return refuse(error, INVALID_IMAGE);
	modules.insert(m.get());
	*module = m.release();
	return SUCCESS;
}

EXPORT CUresult cuModuleUnload(Module *module) {
	ENTER("cuModuleUnload", context);
	if (!modules.erase(module)) return INVALID_HANDLE;
	CUresult rc = run_all(); // what is queued may use it
	for (auto &[name, f] : module->functions) functions.erase(f.get());
	delete module;
	return rc;
}

EXPORT CUresult cuModuleGetFunction(Function **f, Module *module, const char *name) {
	ENTER("cuModuleGetFunction", context);
	if (!modules.count(module)) return INVALID_HANDLE;
	*f = function(*module, name);
	if (!*f) return refuse(format("the module has no kernel %s", name), NOT_FOUND);
	functions.insert(*f);
	return SUCCESS;
}

EXPORT CUresult cuFuncGetAttribute(int *value, int attribute, Function *f) {
	ENTER("cuFuncGetAttribute", context);
	if (!functions.count(f)) return INVALID_HANDLE;
	switch (attribute) {
	case 0: *value = int(f->kernel->max_threads); return SUCCESS;
	case 1: *value = int(f->shared_size); return SUCCESS;
	case 2: case 3: *value = 0; return SUCCESS; // constant and local memory
	case 4: *value = 32; return SUCCESS;        // registers
	case 5: case 6: *value = 80; return SUCCESS; // PTX and binary version
	case 8: *value = int(f->max_dynamic); return SUCCESS;
	}
	return refuse(format("the emulator has no function attribute %d", attribute));
}

EXPORT CUresult cuFuncSetAttribute(Function *f, int attribute, int value) {
	ENTER("cuFuncSetAttribute", context);
	if (!functions.count(f)) return INVALID_HANDLE;
	if (attribute == 9) return SUCCESS; // the preferred carve-out
	if (attribute != 8) return refuse(format("the emulator cannot set function attribute %d", attribute));
	if (value < 0 || size_t(value) + f->shared_size > shared_optin) {
		return refuse(format("kernel %s: %d bytes of dynamic and %zu of static shared memory, the device has %zu",
			f->name.c_str(), value, f->shared_size, shared_optin));
	}
	f->max_dynamic = size_t(value);
	return SUCCESS;
}

EXPORT CUresult cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
	unsigned bz, unsigned dynamic, void *stream, void **params, void **extra) {
	ENTER("cuLaunchKernel", context);
	STREAM(s, stream);
	if (!functions.count(f)) return INVALID_HANDLE;
	const char *name = f->name.c_str();
	uint64_t threads = uint64_t(bx) * by * bz;
	if (!gx || !gy || !gz || gx > 0x7fffffff || gy > 65535 || gz > 65535 || !threads || bx > 1024 || by > 1024 ||
		bz > 64 || threads > 1024) {
		return refuse(format("kernel %s: grid (%u,%u,%u) of blocks (%u,%u,%u)", name, gx, gy, gz, bx, by, bz));
	}
	if (threads > f->kernel->max_threads) {
		return refuse(format("kernel %s: %llu threads, its launch bounds say %u", name, (unsigned long long)threads,
			f->kernel->max_threads), LAUNCH_OUT_OF_RESOURCES);
	}
	if (dynamic > f->max_dynamic || (f->max_dynamic <= shared_limit && dynamic + f->shared_size > shared_limit)) {
		return refuse(format("kernel %s: %u bytes of dynamic and %zu of static shared memory, allowed are %zu", name,
			dynamic, f->shared_size, std::max(f->max_dynamic, shared_limit)));
	}
	if (extra || (f->kernel->count && !params)) return refuse(format("kernel %s: no kernelParams", name));
	auto l = std::make_shared<Launch>();
	l->function = f;
	l->grid = {gx, gy, gz};
	l->block = {bx, by, bz};
	l->dynamic = dynamic;
	size_t size = 0;
	for (unsigned i = 0; i < f->kernel->count; i++) {
		l->offsets.push_back(size);
		size += (f->kernel->sizes[i] + 15) / 16 * 16;
	}
	l->args.resize(size + 16);
	for (unsigned i = 0; i < f->kernel->count; i++) memcpy(&l->args[l->offsets[i]], params[i], f->kernel->sizes[i]);
	enqueue(*s, [l] { return run(*l); });
	return SUCCESS;
}
