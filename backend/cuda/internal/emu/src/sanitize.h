// Check mode. g++ -fsanitize=thread inserts calls of these functions for every
// memory access, and -fsanitize=bounds,alignment for violations of static
// types. They replace the sanitizers' own libraries.
#pragma once

#define AHA_CALLBACK \
	extern "C" __attribute__((visibility("hidden"), no_sanitize("thread"), no_sanitize("undefined"), used))

// Accesses to a thread's own stack are not checked.
#define AHA_CHECKED(NAME, SIZE, KIND) \
	AHA_CALLBACK void NAME(void *at) { \
		if ((unsigned long)at - aha_emu.stack >= aha_emu.stacks) { \
			aha_emu.access(at, SIZE, KIND, __builtin_return_address(0)); \
		} \
	}
#define AHA_CHECKED_SIZE(SIZE) \
	AHA_CHECKED(__tsan_read##SIZE, SIZE, AHA_READ) \
	AHA_CHECKED(__tsan_write##SIZE, SIZE, AHA_WRITE) \
	AHA_CHECKED(__tsan_unaligned_read##SIZE, SIZE, AHA_READ) \
	AHA_CHECKED(__tsan_unaligned_write##SIZE, SIZE, AHA_WRITE)
AHA_CHECKED_SIZE(1)
AHA_CHECKED_SIZE(2)
AHA_CHECKED_SIZE(4)
AHA_CHECKED_SIZE(8)
AHA_CHECKED_SIZE(16)
AHA_CALLBACK void __tsan_init() {}
AHA_CALLBACK void __tsan_read_range(void *at, unsigned long size) {
	if ((unsigned long)at - aha_emu.stack >= aha_emu.stacks) {
		aha_emu.access(at, size, AHA_READ, __builtin_return_address(0));
	}
}
AHA_CALLBACK void __tsan_write_range(void *at, unsigned long size) {
	if ((unsigned long)at - aha_emu.stack >= aha_emu.stacks) {
		aha_emu.access(at, size, AHA_WRITE, __builtin_return_address(0));
	}
}

// The compiler calls these for copies of large structs.
AHA_CALLBACK void *memcpy(void *to, const void *from, unsigned long size) {
	__tsan_read_range(const_cast<void *>(from), size);
	__tsan_write_range(to, size);
	void *at = to;
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
	return to;
}
AHA_CALLBACK void *memset(void *to, int value, unsigned long size) {
	void *at = to;
	__tsan_write_range(to, size);
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
	return to;
}

// The sanitizers pass the source location first; the rest of their data is not
// needed.
struct aha_source {
	const char *file;
	unsigned line, column;
};
#define AHA_UNDEFINED(NAME, CODE, WHAT) \
	AHA_CALLBACK void NAME(aha_source *at) { aha_emu.fail(CODE, WHAT, at->file, int(at->line)); }
AHA_UNDEFINED(__ubsan_handle_out_of_bounds, 700, "index outside the array")
AHA_UNDEFINED(__ubsan_handle_type_mismatch_v1, 716, "misaligned address")
AHA_UNDEFINED(__ubsan_handle_shift_out_of_bounds, 719, "shift by more bits than the type has")
AHA_UNDEFINED(__ubsan_handle_divrem_overflow, 719, "integer division by zero")
