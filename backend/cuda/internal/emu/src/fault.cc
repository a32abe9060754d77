// A fault in a kernel ends the launch but not the process. The handler runs on
// the signal stack that Go gives its threads. Faults outside of kernels go to
// the handler that was installed before, which is Go's.
#include "emu.h"

#include <csignal>
#include <pthread.h>
#include <ucontext.h>

namespace emu {

Fault fault;

static struct sigaction previous[NSIG];
static pthread_t owner;

static void handle(int signal, siginfo_t *info, void *context) {
	auto *uc = static_cast<ucontext_t *>(context);
	auto *regs = uc->uc_mcontext.gregs;
	if (running.inside && pthread_equal(pthread_self(), owner)) {
		fault.signal = signal;
		fault.at = reinterpret_cast<uintptr_t>(info->si_addr);
		fault.pc = regs[REG_RIP];
		fault.general = info->si_code == SI_KERNEL;
		running.inside = false;
		regs[REG_RIP] = reinterpret_cast<greg_t>(aha_land);
		regs[REG_RSP] = reinterpret_cast<greg_t>(running.main);
		return;
	}
	const auto &old = previous[signal];
	if (old.sa_flags & SA_SIGINFO) {
		old.sa_sigaction(signal, info, context);
	} else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN) {
		sigaction(signal, &old, nullptr); // the instruction runs again and faults again
	} else {
		old.sa_handler(signal);
	}
}

void catch_faults() {
	owner = pthread_self();
	static bool installed = false;
	if (installed) return;
	installed = true;
	struct sigaction action = {};
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	sigfillset(&action.sa_mask);
	for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(signal, &action, &previous[signal]);
}

} // namespace emu
