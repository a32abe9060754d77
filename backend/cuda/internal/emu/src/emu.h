// A CUDA driver, NVRTC and cuBLASLt on the host, for tests. One lock guards
// everything: a call, including its kernels, holds it from start to end. Only
// compiling holds no lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "abi.h"

#if !defined(__linux__) || !defined(__x86_64__)
#error "the emulator of CUDA needs Linux on x86-64"
#endif

typedef int CUresult;
typedef uint64_t CUdeviceptr;

enum : CUresult {
	SUCCESS = 0,
	INVALID_VALUE = 1,
	OUT_OF_MEMORY = 2,
	NOT_INITIALIZED = 3,
	INVALID_DEVICE = 101,
	INVALID_IMAGE = 200,
	INVALID_CONTEXT = 201,
	INVALID_HANDLE = 400,
	NOT_FOUND = 500,
	NOT_READY = 600,
	ILLEGAL_ADDRESS = 700,
	LAUNCH_OUT_OF_RESOURCES = 701,
	MISALIGNED_ADDRESS = 716,
	LAUNCH_FAILED = 719,
	UNKNOWN = 999,
};

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace emu {

// config.cc

enum class Order { fifo, reverse, random };

struct Config {
	Order order = Order::fifo;
	uint64_t seed = 0;
	size_t memory = size_t(2) << 30;
	bool check = false;
};
extern Config config;

// configure reads the environment and restarts the count of calls for
// AHA_EMU_FAIL. It returns an error message or "".
std::string configure();

// check_wanted returns whether AHA_EMU_CHECK is set.
bool check_wanted();

// injected counts a call and returns the code with which it must fail, or 0.
int injected(const char *call, int fallback);

uint64_t random_number();                            // determined by the seed
void arrange(std::vector<unsigned> &list, size_t n); // 0..n-1 in the order of the schedule

// report.cc

// report prints an error message and keeps it for cuGetErrorString.
void report(const std::string &text);
const std::string &last_report();
void clear_report();
std::string format(const char *format, ...) __attribute__((format(printf, 1, 2)));

// memory.cc

// An Allocation is device memory. After it is freed, it remains without its
// pages, so that messages can name it if it is used later.
struct Allocation {
	uintptr_t at;
	size_t size;
	uintptr_t pages;
	size_t mapped;
	uint64_t serial;
	bool live = true;
	struct Cells *cells = nullptr; // in check mode
};

bool on_device(uintptr_t at);
Allocation *find(uintptr_t at);     // live or freed; null if there is none
std::string describe(uintptr_t at); // for error messages
CUresult allocate(size_t size, CUdeviceptr *out);
CUresult release(CUdeviceptr at);
void release_all();
size_t memory_used(); // in bytes
size_t allocations();
size_t host_blocks();
bool in_range(CUdeviceptr at, size_t size); // whether the range lies within one live allocation

void *host_allocate(size_t size);
bool host_free(void *);
bool pinned(const void *at, size_t size);
void poison(void *at, size_t size);
uintptr_t guarded(size_t size); // allocates whole pages between two guard pages

// stream.cc

typedef std::vector<uint64_t> Clock; // for each stream, the number of its operations known to have ended

struct Stream {
	unsigned id;
	uint64_t queued = 0, done = 0;
	Clock clock;
	std::deque<std::function<CUresult()>> ops; // queued and not yet run
};

struct Event {
	std::shared_ptr<Stream> stream;
	uint64_t at = 0; // the event was recorded as this operation of the stream
	Clock clock;
	std::shared_ptr<double> time; // when the recorded operation ran, in milliseconds
	bool timing = true;
};

extern std::vector<std::shared_ptr<Stream>> streams; // all open streams
std::shared_ptr<Stream> new_stream();
void enqueue(Stream &, std::function<CUresult()>);
void forget_stream(const std::shared_ptr<Stream> &);
CUresult run_until(Stream &, uint64_t at); // runs the queued operations up to number at
CUresult run_all();
CUresult run_one(Stream &);
void drop_all();
void host_saw(const Clock &);
void wait_for(Stream &, const Event &);
void record(const std::shared_ptr<Stream> &, Event &);

// The error of a failed kernel, which every later call returns.
extern CUresult sticky;

// module.cc

struct Range {
	uintptr_t at;
	size_t size;
	std::string name;
};

struct Module;

struct Function {
	Module *module;
	std::string name;
	const aha_kernel *kernel;
	std::vector<Range> shared; // static shared memory
	size_t shared_size = 0;
	size_t max_dynamic = 48 << 10;
};

struct Module {
	void *handle = nullptr;
	int file = -1;
	uintptr_t base = 0, end = 0;
	aha_state *state = nullptr;
	std::vector<Range> variables; // static shared memory of all functions, by mangled name
	std::vector<std::string> kernels;
	struct Cells *cells = nullptr; // in check mode, for the whole file
	std::map<std::string, std::unique_ptr<Function>> functions;
	~Module();
};

// load makes a module of a compiled kernel file, or sets error.
std::unique_ptr<Module> load(const void *image, std::string &error);
Function *function(Module &, const char *name);

// source returns the source line of a code address in the module.
std::string source(const Module &, uintptr_t pc);

// block.cc

const size_t max_threads = 1024;
const size_t shared_limit = 48 << 10;
const size_t shared_optin = 163 << 10;

struct Launch {
	Function *function;
	aha_dim grid, block;
	size_t dynamic;
	std::vector<char> args;
	std::vector<size_t> offsets;
};

// dynamic_end returns the end of dynamic shared memory, where a guard page
// starts.
uintptr_t dynamic_end();

// attach sets the functions that a kernel file calls.
void attach(aha_state &);

// run runs a kernel to completion. It has reported the error that it returns.
CUresult run(const Launch &);

// The state of the running launch, for check.cc and fault.cc.
struct Running {
	const Launch *launch = nullptr;
	unsigned thread = 0;  // index within its block
	bool inside = false;  // whether a thread is running, on its own stack
	void *main = nullptr; // saved stack pointer of the scheduler
};
extern Running running;

// fail ends the launch. One of its threads must call it.
[[noreturn]] void fail(CUresult code, const std::string &what, const std::string &where);
std::string position(unsigned thread);

// fault.cc

// A Fault is a signal that a kernel's code raised.
struct Fault {
	int signal = 0;
	uintptr_t at = 0, pc = 0;
	bool general = false; // a general protection fault: the address is misaligned or not canonical
};
extern Fault fault;
void catch_faults();

// fiber.cc

const size_t stack_size = 256 << 10; // including a guard page at the lowest address
struct Fiber {
	void *sp = nullptr;
	unsigned index = 0, thread = 0;
};
uintptr_t stacks();                     // returns the address of the stacks of all fibers
void prepare(Fiber &, void (*entry)()); // sets sp so that switching to the fiber calls entry

// check.cc

struct Cells; // what is known about each byte of a piece of memory
Cells *new_cells(size_t size);
void delete_cells(Cells *);

void check_begin(unsigned stream, uint64_t seq, const Clock &clock); // starts an operation
void check_block();
void check_barrier();
void check_syncwarp(unsigned warp, unsigned mask);
void check_fence();
void check_access(const void *at, unsigned long size, aha_access kind, const void *pc);
void check_dynamic(uintptr_t at, size_t size);

// Check the accesses of copies and fills. They return "" or the description of
// a race.
std::string check_copy(CUdeviceptr to, CUdeviceptr from, size_t size); // address 0 means host memory

// check_read checks a read by the emulator itself. It returns "" or an error: a
// race, or a read of uninitialised memory.
std::string check_read(CUdeviceptr from, size_t size);

} // namespace emu

extern "C" void aha_switch(void **save, void *to);
extern "C" void aha_land();
