// Shared by the entry points of libcuda.
#pragma once

#include "emu.h"

#include <unordered_set>

namespace emu {

extern std::mutex lock; // guards everything except compiling
extern bool initialized;

extern std::unordered_set<Event *> events;
extern std::unordered_set<Module *> modules;
extern std::unordered_set<Function *> functions;

// A Call is the state of an entry point while it runs. If rc is not SUCCESS,
// the entry point returns it at once.
struct Call {
	std::lock_guard<std::mutex> guard{lock};
	CUresult rc = SUCCESS;

	// What a call requires: nothing, an initialised driver, or also a current
	// context without an error.
	enum Needs { nothing, init, context };

	Call(const char *name, Needs needs, CUresult failure = UNKNOWN);
};

#define ENTER(NAME, NEEDS, ...) \
	Call call(NAME, Call::NEEDS, ##__VA_ARGS__); \
	if (call.rc) return call.rc

// refuse reports why a call fails and returns its code.
CUresult refuse(const std::string &text, CUresult rc = INVALID_VALUE);

std::shared_ptr<Stream> stream_of(void *handle, CUresult *rc);

#define STREAM(NAME, HANDLE) \
	CUresult unknown = SUCCESS; \
	auto NAME = stream_of(HANDLE, &unknown); \
	if (unknown) return unknown

} // namespace emu
