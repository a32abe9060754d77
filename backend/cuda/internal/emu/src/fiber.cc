// Threads of a block are fibers: each has its own stack, and a switch saves the
// registers that a function call preserves.
#include "emu.h"

#include <sys/mman.h>

asm(R"(
	.text
	.globl aha_switch
	.hidden aha_switch
	.type aha_switch, @function
aha_switch:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	.globl aha_land
	.hidden aha_land
	.type aha_land, @function
aha_land:
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size aha_switch, .-aha_switch
)");

namespace emu {

uintptr_t stacks() {
	static uintptr_t at = [] {
		void *p = mmap(nullptr, max_threads * stack_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED) abort();
		for (size_t i = 0; i < max_threads; i++) mprotect(static_cast<char *>(p) + i * stack_size, 4096, PROT_NONE);
		return reinterpret_cast<uintptr_t>(p);
	}();
	return at;
}

void prepare(Fiber &f, void (*entry)()) {
	// The tops of the stacks have different distances from the end of a page,
	// so that the stacks do not compete for the same cache sets.
	uintptr_t top = stacks() + (f.index + 1) * stack_size - f.index % 13 * 320;
	void **sp = reinterpret_cast<void **>(top & ~uintptr_t(63));
	*--sp = nullptr; // the return address of entry, which also aligns the stack
	*--sp = reinterpret_cast<void *>(entry);
	for (int i = 0; i < 6; i++) *--sp = nullptr;
	f.sp = sp;
}

} // namespace emu
