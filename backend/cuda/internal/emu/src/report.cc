#include "emu.h"

#include <cstdarg>
#include <cstdio>

namespace emu {

static std::string last;

void report(const std::string &text) {
	last = text;
	fprintf(stderr, "emulator: %s\n", text.c_str());
}

const std::string &last_report() { return last; }
void clear_report() { last.clear(); }

std::string format(const char *format, ...) {
	char text[2048];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	return text;
}

} // namespace emu
