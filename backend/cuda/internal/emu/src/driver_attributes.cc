// The entry points of libcuda: attributes of the device. Its architecture is
// sm_80, for which kernels take their most common path.
#include "call.h"

using namespace emu;

namespace {

struct Attribute {
	int id, value;
};
const Attribute attributes[] = {
	{1, 1024},               // threads of a block
	{2, 1024},               // threads of a block along x
	{3, 1024},               // threads of a block along y
	{4, 64},                 // threads of a block along z
	{5, 0x7fffffff},         // blocks of a grid along x
	{6, 65535},              // blocks of a grid along y
	{7, 65535},              // blocks of a grid along z
	{8, int(shared_limit)},  // shared memory of a block
	{9, 65536},              // constant memory
	{10, 32},                // threads of a warp
	{11, 0x7fffffff},        // pitch
	{12, 65536},             // registers of a block
	{13, 1000000},           // clock, kHz
	{14, 512},               // alignment of textures
	{15, 1},                 // copies concurrent with kernels
	{16, 4},                 // multiprocessors
	{17, 0},                 // time limit of kernels
	{18, 0},                 // integrated GPU
	{19, 1},                 // can map host memory
	{20, 0},                 // compute mode
	{31, 1},                 // concurrent kernels
	{32, 0},                 // ECC
	{33, 0},                 // PCI bus
	{34, 0},                 // PCI device
	{36, 1000000},           // memory clock, kHz
	{37, 512},               // memory bus, bits
	{38, 4 << 20},           // L2 cache
	{39, 2048},              // threads of a multiprocessor
	{40, 1},                 // copy engines
	{41, 1},                 // unified addresses
	{75, 8},                 // compute capability, major
	{76, 0},                 // compute capability, minor
	{81, 164 << 10},         // shared memory of a multiprocessor
	{82, 65536},             // registers of a multiprocessor
	{83, 0},                 // managed memory
	{88, 0},                 // pageable memory access
	{97, int(shared_optin)}, // shared memory of a block by opt-in
	{111, 1024},             // reserved shared memory of a block
	{115, 0},                // memory pools
};

} // namespace

EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
	ENTER("cuDeviceGetAttribute", init);
	if (device) return INVALID_DEVICE;
	for (const auto &a : attributes) {
		if (a.id != attribute) continue;
		*value = a.value;
		return SUCCESS;
	}
	return refuse(format("the emulator has no device attribute %d", attribute));
}
