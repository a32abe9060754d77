// The entry points of libcuda: names of errors.
#include "call.h"

using namespace emu;

namespace {

struct Name {
	CUresult code;
	const char *name, *text;
};
const Name names[] = {
	{SUCCESS, "CUDA_SUCCESS", "no error"},
	{INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
	{OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	{NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
	{100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
	{INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
	{INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
	{INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
	{INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
	{NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
	{NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
	{ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
	{LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
	{MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
	{LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
	{UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

const Name *name_of(CUresult code) {
	for (const auto &n : names) {
		if (n.code == code) return &n;
	}
	return nullptr;
}

} // namespace

EXPORT CUresult cuGetErrorName(CUresult code, const char **name) {
	ENTER("cuGetErrorName", nothing);
	auto *n = name_of(code);
	*name = n ? n->name : nullptr;
	return n ? SUCCESS : INVALID_VALUE;
}

// cuGetErrorString also returns the text of the last report.
EXPORT CUresult cuGetErrorString(CUresult code, const char **text) {
	ENTER("cuGetErrorString", nothing);
	auto *n = name_of(code);
	*text = n ? n->text : nullptr;
	if (n && code && !last_report().empty()) {
		static std::unordered_set<std::string> kept; // callers may keep the text
		*text = kept.insert(std::string(n->text) + " (emulator: " + last_report() + ")").first->c_str();
	}
	return n ? SUCCESS : INVALID_VALUE;
}
