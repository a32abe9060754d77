// The entry points of libcuda: streams and events.
#include "call.h"

using namespace emu;

EXPORT CUresult cuStreamCreate(void **stream, unsigned flags) {
	ENTER("cuStreamCreate", context);
	if (flags > 1) return INVALID_VALUE;
	auto s = new_stream();
	*stream = s.get();
	return SUCCESS;
}

EXPORT CUresult cuStreamDestroy_v2(void *stream) {
	ENTER("cuStreamDestroy_v2", context);
	STREAM(s, stream);
	CUresult rc = run_until(*s, s->queued);
	forget_stream(s);
	return rc;
}

EXPORT CUresult cuStreamSynchronize(void *stream) {
	ENTER("cuStreamSynchronize", context);
	STREAM(s, stream);
	CUresult rc = run_until(*s, s->queued);
	if (!rc) host_saw(s->clock);
	return rc;
}

// A query runs one operation, so that polling ends.
EXPORT CUresult cuStreamQuery(void *stream) {
	ENTER("cuStreamQuery", context);
	STREAM(s, stream);
	if (s->ops.empty()) {
		host_saw(s->clock);
		return SUCCESS;
	}
	CUresult rc = run_one(*s);
	return rc ? rc : NOT_READY;
}

EXPORT CUresult cuStreamWaitEvent(void *stream, Event *event, unsigned) {
	ENTER("cuStreamWaitEvent", context);
	STREAM(s, stream);
	if (!events.count(event)) return INVALID_HANDLE;
	wait_for(*s, *event);
	return SUCCESS;
}

EXPORT CUresult cuEventCreate(Event **event, unsigned flags) {
	ENTER("cuEventCreate", context);
	*event = new Event;
	(*event)->timing = !(flags & 2);
	events.insert(*event);
	return SUCCESS;
}

EXPORT CUresult cuEventDestroy_v2(Event *event) {
	ENTER("cuEventDestroy_v2", context);
	if (!events.erase(event)) return INVALID_HANDLE;
	delete event;
	return SUCCESS;
}

EXPORT CUresult cuEventRecord(Event *event, void *stream) {
	ENTER("cuEventRecord", context);
	STREAM(s, stream);
	if (!events.count(event)) return INVALID_HANDLE;
	record(s, *event);
	return SUCCESS;
}

EXPORT CUresult cuEventQuery(Event *event) {
	ENTER("cuEventQuery", context);
	if (!events.count(event)) return INVALID_HANDLE;
	if (event->stream && event->stream->done < event->at) {
		CUresult rc = run_one(*event->stream);
		return rc ? rc : NOT_READY;
	}
	host_saw(event->clock);
	return SUCCESS;
}

EXPORT CUresult cuEventSynchronize(Event *event) {
	ENTER("cuEventSynchronize", context);
	if (!events.count(event)) return INVALID_HANDLE;
	if (!event->stream) return SUCCESS;
	CUresult rc = run_until(*event->stream, event->at);
	if (!rc) host_saw(event->clock);
	return rc;
}

EXPORT CUresult cuEventElapsedTime(float *ms, Event *from, Event *to) {
	ENTER("cuEventElapsedTime", context);
	for (Event *e : {from, to}) {
		if (!events.count(e) || !e->timing || !e->stream) return INVALID_HANDLE;
		if (e->stream->done < e->at) return NOT_READY;
	}
	*ms = float(*to->time - *from->time);
	return SUCCESS;
}
