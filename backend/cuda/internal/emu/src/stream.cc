// Streams are lazy: queued work runs when the host, or another stream through
// an event, waits for it, and not before. So if a wait is missing, what is read
// is not there yet.
#include "emu.h"

#include <algorithm>
#include <chrono>

namespace emu {

CUresult sticky = SUCCESS;

std::vector<std::shared_ptr<Stream>> streams;
static unsigned next_id = 0;
static Clock host_clock;

static void merge(Clock &to, const Clock &from) {
	if (to.size() < from.size()) to.resize(from.size());
	for (size_t i = 0; i < from.size(); i++) to[i] = std::max(to[i], from[i]);
}

std::shared_ptr<Stream> new_stream() {
	auto s = std::make_shared<Stream>();
	s->id = next_id++;
	streams.push_back(s);
	return s;
}

void forget_stream(const std::shared_ptr<Stream> &s) {
	streams.erase(std::remove(streams.begin(), streams.end(), s), streams.end());
}

void host_saw(const Clock &clock) {
	if (config.check) merge(host_clock, clock);
}

void enqueue(Stream &s, std::function<CUresult()> op) {
	s.queued++;
	if (!config.check) {
		s.ops.push_back(std::move(op));
		return;
	}
	merge(s.clock, host_clock);
	if (s.clock.size() <= s.id) s.clock.resize(s.id + 1);
	s.clock[s.id] = s.queued;
	s.ops.push_back([id = s.id, seq = s.queued, clock = s.clock, op = std::move(op)] {
		check_begin(id, seq, clock);
		return op();
	});
}

CUresult run_one(Stream &s) {
	if (sticky) return sticky;
	if (s.ops.empty()) return SUCCESS;
	auto op = std::move(s.ops.front());
	s.ops.pop_front();
	s.done++;
	CUresult rc = op();
	if (rc) {
		sticky = rc;
		drop_all();
	}
	return rc;
}

CUresult run_until(Stream &s, uint64_t at) {
	while (s.done < at) {
		if (CUresult rc = run_one(s)) return rc;
	}
	return sticky;
}

CUresult run_all() {
	std::vector<unsigned> order;
	arrange(order, streams.size());
	if (config.order == Order::random) { // any interleaving of streams
		std::vector<std::shared_ptr<Stream>> left = streams;
		while (!left.empty()) {
			size_t i = random_number() % left.size();
			if (left[i]->ops.empty()) {
				left.erase(left.begin() + long(i));
			} else if (CUresult rc = run_one(*left[i])) {
				return rc;
			}
		}
	}
	for (unsigned i : order) {
		if (CUresult rc = run_until(*streams[i], streams[i]->queued)) return rc;
	}
	for (auto &s : streams) host_saw(s->clock);
	return sticky;
}

void drop_all() {
	for (auto &s : streams) {
		s->ops.clear();
		s->done = s->queued;
	}
}

void wait_for(Stream &s, const Event &e) {
	if (!e.stream || e.stream.get() == &s) return;
	if (config.check) merge(s.clock, e.clock);
	enqueue(s, [other = e.stream, at = e.at] { return run_until(*other, at); });
}

void record(const std::shared_ptr<Stream> &s, Event &e) {
	auto time = std::make_shared<double>(0);
	enqueue(*s, [time] {
		auto now = std::chrono::steady_clock::now().time_since_epoch();
		*time = std::chrono::duration<double, std::milli>(now).count();
		return SUCCESS;
	});
	e.stream = s;
	e.at = s->queued;
	e.clock = s->clock;
	e.time = time;
}

} // namespace emu
