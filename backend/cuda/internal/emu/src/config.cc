// The environment variables of the emulator.
#include "emu.h"

#include <cstdlib>
#include <cstring>

namespace emu {

Config config;

static uint64_t random_state;
static std::mutex injection_lock;

struct Injection {
	std::string call;
	long n;
	int code;
	long seen = 0;
	bool done = false;
};
static std::vector<Injection> injections;
static std::string injections_text;

static const char *variable(const char *name) {
	const char *value = getenv(name);
	return value ? value : "";
}

bool check_wanted() { return !strcmp(variable("AHA_EMU_CHECK"), "1"); }

// parse_injections parses call:n or call:n:code, separated by commas.
static std::string parse_injections(const char *text) {
	injections.clear();
	for (std::string rest = text; !rest.empty();) {
		size_t comma = rest.find(',');
		std::string one = rest.substr(0, comma);
		rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
		char call[64];
		long n;
		int code = 0, used = 0;
		if (sscanf(one.c_str(), "%63[A-Za-z0-9_]:%ld%n", call, &n, &used) < 2 || n < 1) {
			return "AHA_EMU_FAIL: " + one + ", want call:n or call:n:code";
		}
		if (one[used] && (sscanf(one.c_str() + used, ":%d", &code) < 1 || code < 1)) {
			return "AHA_EMU_FAIL: " + one + ", want call:n or call:n:code";
		}
		injections.push_back({call, n, code});
	}
	return "";
}

std::string configure() {
	config = Config{};
	const char *schedule = variable("AHA_EMU_SCHEDULE");
	if (!strncmp(schedule, "random:", 7)) {
		config.order = Order::random;
		config.seed = strtoull(schedule + 7, nullptr, 10);
	} else if (!strcmp(schedule, "reverse")) {
		config.order = Order::reverse;
	} else if (*schedule && strcmp(schedule, "fifo")) {
		return std::string("AHA_EMU_SCHEDULE is ") + schedule + ", want fifo, reverse or random:SEED";
	}
	random_state = config.seed;
	if (const char *memory = variable("AHA_EMU_MEMORY"); *memory) {
		char *end;
		config.memory = strtoull(memory, &end, 10);
		if (*end || !config.memory) return std::string("AHA_EMU_MEMORY is ") + memory + ", want bytes";
	}
	config.check = check_wanted();

	// A failure of cuInit itself is counted over all its calls.
	std::lock_guard<std::mutex> guard(injection_lock);
	std::string text = variable("AHA_EMU_FAIL");
	auto before = injections;
	std::string error = parse_injections(text.c_str());
	if (text == injections_text) {
		for (size_t i = 0; i < injections.size(); i++) {
			if (injections[i].call == "cuInit") injections[i] = before[i];
		}
	}
	injections_text = text;
	return error;
}

int injected(const char *call, int fallback) {
	std::lock_guard<std::mutex> guard(injection_lock);
	for (auto &i : injections) {
		if (i.done || i.call != call || ++i.seen < i.n) continue;
		i.done = true;
		return i.code ? i.code : fallback;
	}
	return 0;
}

// SplitMix64.
uint64_t random_number() {
	uint64_t z = random_state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void arrange(std::vector<unsigned> &list, size_t n) {
	list.resize(n);
	for (size_t i = 0; i < n; i++) list[i] = unsigned(config.order == Order::reverse ? n - 1 - i : i);
	if (config.order != Order::random) return;
	for (size_t i = n; i > 1; i--) std::swap(list[i - 1], list[random_number() % i]);
}

} // namespace emu
