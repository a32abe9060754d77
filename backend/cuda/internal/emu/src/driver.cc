// The entry points of libcuda: the driver, the device and its context.
#include "call.h"

#include <cstdio>

namespace emu {

std::mutex lock;
bool initialized = false;
std::unordered_set<Event *> events;
std::unordered_set<Module *> modules;
std::unordered_set<Function *> functions;

static int retained = 0;             // number of references to the primary context
static int generation = 0;           // number of the present primary context
static thread_local int current = 0; // generation of the context that is current on this thread
static char primary;                 // its address is the context's handle

Call::Call(const char *name, Needs needs, CUresult failure) {
	if (CUresult code = injected(name, failure)) {
		rc = code;
		if (code == ILLEGAL_ADDRESS || code == MISALIGNED_ADDRESS || code == LAUNCH_FAILED) {
			report(std::string("injected into ") + name);
			sticky = code;
			drop_all();
		}
	} else if (needs >= init && !initialized) {
		rc = NOT_INITIALIZED;
	} else if (needs == context) {
		rc = retained && current == generation ? sticky : INVALID_CONTEXT;
	}
}

CUresult refuse(const std::string &text, CUresult rc) {
	report(text);
	return rc;
}

std::shared_ptr<Stream> stream_of(void *handle, CUresult *rc) {
	for (auto &s : streams) {
		if (s.get() == handle) return s;
	}
	*rc = refuse(handle ? "unknown stream" : "the NULL stream, which orders itself with all others, is refused",
		INVALID_HANDLE);
	return nullptr;
}

// reset ends the primary context.
static void reset() {
	drop_all();
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

} // namespace emu

using namespace emu;

EXPORT CUresult cuInit(unsigned flags) {
	std::lock_guard<std::mutex> guard(lock);
	if (retained && check_wanted() != config.check) return refuse("AHA_EMU_CHECK changes while a context is open");
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
