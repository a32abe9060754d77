// The entry points of libcuda: modules, functions and launches.
#include "call.h"

#include <algorithm>
#include <cstring>

using namespace emu;

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
	CUresult rc = run_all(); // queued work may use it
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
	case 2:
	case 3: *value = 0; return SUCCESS;  // constant and local memory
	case 4: *value = 32; return SUCCESS; // registers
	case 5:
	case 6: *value = 80; return SUCCESS; // PTX and binary version
	case 8: *value = int(f->max_dynamic); return SUCCESS;
	}
	return refuse(format("the emulator has no function attribute %d", attribute));
}

EXPORT CUresult cuFuncSetAttribute(Function *f, int attribute, int value) {
	ENTER("cuFuncSetAttribute", context);
	if (!functions.count(f)) return INVALID_HANDLE;
	if (attribute == 9) return SUCCESS; // the preferred shared memory carve-out
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
						  f->kernel->max_threads),
			LAUNCH_OUT_OF_RESOURCES);
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
