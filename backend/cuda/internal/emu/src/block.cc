// Runs a kernel: its blocks one after the other, with the threads of a block as
// fibers that meet at barriers and warp operations. A thread runs until it
// waits.
#include "emu.h"

#include <csignal>
#include <cstring>

namespace emu {

Running running;

namespace {

// A Wait is what a thread is waiting for.
struct Wait {
	const char *name, *file;
	int line;
	bool same(const Wait &w) const {
		return line == w.line && (file == w.file || !strcmp(file, w.file)) &&
		       (name == w.name || !strcmp(name, w.name));
	}
	std::string text() const { return format("%s (%s:%d)", name, file, line); }
};

struct Thread {
	Fiber *fiber;
	bool exited;
	Wait wait;
	void *data; // operands of a warp operation
};

// A Meeting is a warp operation that some of its lanes have reached.
struct Meeting {
	unsigned mask, arrived;
	aha_all all;
	Wait wait;
};

struct Warp {
	unsigned live;
	std::vector<Meeting> meetings;
};

Fiber fibers[max_threads];
std::vector<Fiber *> idle; // fibers whose thread has exited
unsigned fibers_made;

aha_state *state;
std::vector<void *> arguments;
aha_dim places[max_threads]; // thread index by linear number
Thread threads[max_threads];
Warp warps[max_threads / 32];
unsigned total; // number of threads in a block
unsigned started, exited;
std::vector<unsigned> order; // the order in which threads start and leave a barrier
unsigned ready[max_threads]; // a ring buffer of the threads that can run
unsigned ready_first, ready_count;
unsigned arrived; // number of threads at the barrier
Wait barrier;
int votes, vote_result;
CUresult failure;

void make_ready(unsigned thread) { ready[(ready_first + ready_count++) % max_threads] = thread; }

unsigned next_ready() {
	unsigned t = ready[ready_first];
	ready_first = (ready_first + 1) % max_threads;
	ready_count--;
	return t;
}

void make_warp_ready(unsigned first, unsigned mask) {
	if (config.order == Order::fifo) {
		for (; mask; mask &= mask - 1) make_ready(first + unsigned(__builtin_ctz(mask)));
		return;
	}
	static std::vector<unsigned> lanes;
	arrange(lanes, 32);
	for (unsigned i : lanes) {
		if (mask >> i & 1) make_ready(first + i);
	}
}

void thread_main();

Fiber *idle_fiber() {
	if (!idle.empty()) {
		Fiber *f = idle.back();
		idle.pop_back();
		return f;
	}
	Fiber *f = &fibers[fibers_made];
	f->index = fibers_made++;
	prepare(*f, thread_main);
	return f;
}

// choose returns the fiber to run next, or null if none can run.
Fiber *choose() {
	bool fresh = started < total;
	if (ready_count && !(fresh && config.order == Order::random && random_number() & 1)) {
		return threads[next_ready()].fiber;
	}
	return fresh ? idle_fiber() : nullptr;
}

void become(unsigned thread) {
	running.thread = thread;
	state->thread = places[thread];
}

// switch_from switches to another fiber, or to the scheduler if none can run.
void switch_from(Fiber *own) {
	Fiber *f = choose();
	if (f == own) {
		become(own->thread);
		return;
	}
	if (f) become(f->thread);
	running.inside = f != nullptr;
	aha_switch(&own->sp, f ? f->sp : running.main);
}

// meet completes a warp operation that all lanes have reached.
void meet(unsigned warp, size_t i) {
	auto &meetings = warps[warp].meetings;
	Meeting m = meetings[i];
	meetings[i] = meetings.back();
	meetings.pop_back();
	if (m.all) {
		void *lanes[32] = {};
		for (unsigned rest = m.arrived; rest; rest &= rest - 1) {
			unsigned lane = unsigned(__builtin_ctz(rest));
			lanes[lane] = threads[warp * 32 + lane].data;
		}
		m.all(lanes, m.arrived, m.wait.file, m.wait.line);
	} else if (config.check) {
		check_syncwarp(warp, m.arrived);
	}
	make_warp_ready(warp * 32, m.arrived);
}

void leave() {
	threads[running.thread].exited = true;
	exited++;
	unsigned w = running.thread / 32;
	Warp &warp = warps[w];
	warp.live &= ~(1u << running.thread % 32);
	for (size_t i = 0; i < warp.meetings.size();) {
		const Meeting &m = warp.meetings[i];
		if (m.arrived == (m.mask & warp.live)) {
			meet(w, i);
		} else {
			i++;
		}
	}
}

// thread_main is the function of a fiber: it runs one thread after the other.
void thread_main() {
	uintptr_t own_stack = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - stacks();
	Fiber *own = &fibers[own_stack / stack_size];
	for (;;) {
		own->thread = order[started++];
		threads[own->thread].fiber = own;
		become(own->thread);
		running.launch->function->kernel->call(arguments.data());
		leave();
		idle.push_back(own);
		switch_from(own);
	}
}

int on_barrier(aha_vote vote, int value, const char *name, const char *file, int line) {
	Wait here{name, file, line};
	if (!arrived) {
		barrier = here;
		votes = vote == AHA_AND;
	} else if (!barrier.same(here)) {
		fail(LAUNCH_FAILED, "at " + here.text() + " while other threads of the block wait at " + barrier.text(), "");
	}
	votes = vote == AHA_COUNT ? votes + value : vote == AHA_AND ? (votes & value) : (votes | value);
	unsigned self = running.thread;
	threads[self].wait = here;
	if (++arrived == total) {
		arrived = 0;
		vote_result = votes;
		if (config.check) check_barrier();
		if (config.order == Order::random) arrange(order, total);
		for (unsigned t : order) make_ready(t);
	}
	switch_from(threads[self].fiber);
	threads[self].wait.name = nullptr;
	return vote_result;
}

void on_warp(unsigned mask, const char *name, void *data, aha_all all, const char *file, int line) {
	unsigned self = running.thread, w = self / 32, bit = 1u << self % 32;
	Wait here{name, file, line};
	if (!(mask & bit)) {
		fail(LAUNCH_FAILED,
			format("%s with mask %#010x, which lacks the calling lane %u", here.text().c_str(), mask, self % 32), "");
	}
	threads[self].data = data;
	threads[self].wait = here;
	Warp &warp = warps[w];
	size_t i = 0;
	while (i < warp.meetings.size() && warp.meetings[i].mask != mask) i++;
	if (i == warp.meetings.size()) {
		warp.meetings.push_back({mask, 0, all, here});
	} else if (warp.meetings[i].all != all || !warp.meetings[i].wait.same(here)) {
		fail(LAUNCH_FAILED,
			"at " + here.text() + " while other lanes of its mask wait at " + warp.meetings[i].wait.text(), "");
	}
	Meeting &m = warp.meetings[i];
	m.arrived |= bit;
	if (m.arrived == (mask & warp.live)) meet(w, i);
	switch_from(threads[self].fiber);
	threads[self].wait.name = nullptr;
}

unsigned on_live() { return warps[running.thread / 32].live; }

void on_fence() {
	if (config.check) check_fence();
}

void on_fail(int code, const char *what, const char *file, int line) {
	fail(code, what, format("%s:%d", file, line));
}

// parted describes where the threads of a block wait when none of them can
// continue.
std::string parted() {
	std::vector<std::pair<Wait, unsigned>> waits;
	for (unsigned t = 0; t < total; t++) {
		if (!threads[t].wait.name) continue;
		size_t i = 0;
		while (i < waits.size() && !waits[i].first.same(threads[t].wait)) i++;
		if (i == waits.size()) {
			waits.push_back({threads[t].wait, 0});
			running.thread = t;
		}
		waits[i].second++;
	}
	std::string text = format("the %u threads of the block part:", total);
	for (auto &[wait, n] : waits) text += format(" %u wait at %s,", n, wait.text().c_str());
	return text + format(" %u have exited", exited);
}

// faulted describes the fault of the running thread.
std::string faulted(CUresult *code) {
	uintptr_t in_stacks = fault.at - stacks();
	if (fault.signal == SIGFPE) {
		*code = LAUNCH_FAILED;
		return "integer division by zero";
	}
	if (fault.general) { // a vector instruction, or an address that is not canonical
		*code = MISALIGNED_ADDRESS;
		return "misaligned address";
	}
	*code = ILLEGAL_ADDRESS;
	if (in_stacks < max_threads * stack_size) {
		*code = LAUNCH_FAILED;
		return format("stack overflow: a thread has %zu bytes", stack_size);
	}
	uintptr_t past = fault.at - dynamic_end();
	if (past < 4096) return format("access %zu bytes after the end of dynamic shared memory", size_t(past));
	if (fault.at < 4096) return format("null pointer plus %zu", size_t(fault.at));
	return "access: " + describe(fault.at);
}

CUresult run_block() {
	const Launch &l = *running.launch;
	for (auto &r : l.function->shared) poison(reinterpret_cast<void *>(r.at), r.size);
	poison(state->dynamic, l.dynamic);
	for (unsigned w = 0; w * 32 < total; w++) {
		unsigned n = total - w * 32;
		warps[w].live = n >= 32 ? 0xffffffffu : (1u << n) - 1;
		warps[w].meetings.clear();
	}
	for (unsigned t = 0; t < total; t++) {
		threads[t].exited = false;
		threads[t].wait.name = nullptr;
	}
	if (config.order == Order::random) arrange(order, total);
	started = exited = ready_count = arrived = 0;
	failure = SUCCESS;
	fault.signal = 0;
	if (config.check) check_block();

	Fiber *f = choose();
	running.inside = true;
	aha_switch(&running.main, f->sp);
	if (fault.signal) {
		std::string text = faulted(&failure);
		std::string where = source(*l.function->module, fault.pc);
		report(position(running.thread) + (where.empty() ? "" : ", " + where) + ": " + text);
	} else if (!failure && exited < total) {
		failure = LAUNCH_FAILED;
		std::string text = parted();
		report(position(running.thread) + ": " + text);
	}
	if (failure) { // abandon the fibers
		idle.clear();
		fibers_made = 0;
	}
	return failure;
}

} // namespace

std::string position(unsigned thread) {
	const Launch &l = *running.launch;
	aha_dim b = state->block, t = places[thread];
	return format(
		"kernel %s, block (%u,%u,%u), thread (%u,%u,%u)", l.function->name.c_str(), b.x, b.y, b.z, t.x, t.y, t.z);
}

void fail(CUresult code, const std::string &what, const std::string &where) {
	report(position(running.thread) + (where.empty() ? "" : ", " + where) + ": " + what);
	failure = code;
	running.inside = false;
	void *left;
	aha_switch(&left, running.main);
	__builtin_unreachable();
}

void attach(aha_state &s) {
	s.barrier = on_barrier;
	s.warp = on_warp;
	s.live = on_live;
	s.fence = on_fence;
	s.access = check_access;
	s.fail = on_fail;
	s.stack = stacks();
	s.stacks = max_threads * stack_size;
}

CUresult run(const Launch &l) {
	catch_faults();
	running.launch = &l;
	state = l.function->module->state;
	state->block_dim = l.block;
	state->grid_dim = l.grid;
	// Dynamic shared memory ends at the end of its pages, except for the
	// alignment that kernels may rely on.
	uintptr_t dynamic = dynamic_end() - (l.dynamic + 127) / 128 * 128;
	state->dynamic = reinterpret_cast<void *>(dynamic);
	if (config.check) check_dynamic(dynamic, l.dynamic);
	arguments.clear();
	for (size_t offset : l.offsets) arguments.push_back(const_cast<char *>(l.args.data()) + offset);
	total = l.block.x * l.block.y * l.block.z;
	for (unsigned t = 0; t < total; t++) {
		places[t] = {t % l.block.x, t / l.block.x % l.block.y, t / l.block.x / l.block.y};
	}
	arrange(order, total);
	uint64_t blocks = uint64_t(l.grid.x) * l.grid.y * l.grid.z;
	std::vector<unsigned> shuffled;
	if (config.order == Order::random) arrange(shuffled, blocks);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t b = config.order == Order::fifo ? i : config.order == Order::reverse ? blocks - 1 - i : shuffled[i];
		state->block = {unsigned(b % l.grid.x), unsigned(b / l.grid.x % l.grid.y), unsigned(b / l.grid.x / l.grid.y)};
		if (CUresult rc = run_block()) return rc;
	}
	return SUCCESS;
}

uintptr_t dynamic_end() {
	static uintptr_t end = guarded(shared_optin) + shared_optin;
	return end;
}

} // namespace emu
