package driver

// The trailing comments are the names in cuda.h. A test compares the values
// with it.

// Result is a CUresult, the result of a driver call. errors.Is finds it in
// errors, as in errors.Is(err, driver.OutOfMemory).
type Result uint32

const (
	success      Result = 0   // CUDA_SUCCESS
	InvalidValue Result = 1   // CUDA_ERROR_INVALID_VALUE
	OutOfMemory  Result = 2   // CUDA_ERROR_OUT_OF_MEMORY
	NoDevice     Result = 100 // CUDA_ERROR_NO_DEVICE
	notReady     Result = 600 // CUDA_ERROR_NOT_READY

	eccUncorrectable    Result = 214 // CUDA_ERROR_ECC_UNCORRECTABLE
	nvlinkUncorrectable Result = 220 // CUDA_ERROR_NVLINK_UNCORRECTABLE
	contained           Result = 226 // CUDA_ERROR_CONTAINED
	IllegalAddress      Result = 700 // CUDA_ERROR_ILLEGAL_ADDRESS
	launchTimeout       Result = 702 // CUDA_ERROR_LAUNCH_TIMEOUT
	assert              Result = 710 // CUDA_ERROR_ASSERT
	hardwareStackError  Result = 714 // CUDA_ERROR_HARDWARE_STACK_ERROR
	illegalInstruction  Result = 715 // CUDA_ERROR_ILLEGAL_INSTRUCTION
	misalignedAddress   Result = 716 // CUDA_ERROR_MISALIGNED_ADDRESS
	invalidAddressSpace Result = 717 // CUDA_ERROR_INVALID_ADDRESS_SPACE
	invalidPC           Result = 718 // CUDA_ERROR_INVALID_PC
	LaunchFailed        Result = 719 // CUDA_ERROR_LAUNCH_FAILED
	tensorMemoryLeak    Result = 721 // CUDA_ERROR_TENSOR_MEMORY_LEAK
	mpsClientTerminated Result = 810 // CUDA_ERROR_MPS_CLIENT_TERMINATED
	externalDevice      Result = 911 // CUDA_ERROR_EXTERNAL_DEVICE
)

// DeviceAttribute is a CUdevice_attribute.
type DeviceAttribute int32

const (
	MaxThreadsPerBlock          DeviceAttribute = 1  // CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK
	MaxSharedPerBlock           DeviceAttribute = 8  // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK
	WarpSize                    DeviceAttribute = 10 // CU_DEVICE_ATTRIBUTE_WARP_SIZE
	MaxRegistersPerBlock        DeviceAttribute = 12 // CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK
	ClockRate                   DeviceAttribute = 13 // CU_DEVICE_ATTRIBUTE_CLOCK_RATE
	MultiprocessorCount         DeviceAttribute = 16 // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
	MemoryClockRate             DeviceAttribute = 36 // CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE
	MemoryBusWidth              DeviceAttribute = 37 // CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH
	L2CacheSize                 DeviceAttribute = 38 // CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
	MaxThreadsPerMultiprocessor DeviceAttribute = 39 // CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR
	ComputeCapabilityMajor      DeviceAttribute = 75 // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
	ComputeCapabilityMinor      DeviceAttribute = 76 // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
	MaxSharedPerMultiprocessor  DeviceAttribute = 81 // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
	MaxSharedPerBlockOptin      DeviceAttribute = 97 // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
)

// FuncAttribute is a CUfunction_attribute.
type FuncAttribute int32

const (
	FuncMaxThreadsPerBlock   FuncAttribute = 0 // CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK
	FuncSharedBytes          FuncAttribute = 1 // CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
	FuncLocalBytes           FuncAttribute = 3 // CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES
	FuncRegisters            FuncAttribute = 4 // CU_FUNC_ATTRIBUTE_NUM_REGS
	FuncBinaryVersion        FuncAttribute = 6 // CU_FUNC_ATTRIBUTE_BINARY_VERSION
	FuncMaxDynamicShared     FuncAttribute = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
	FuncSharedMemoryCarveout FuncAttribute = 9 // CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
)

// StreamFlags are the flags of StreamCreate.
type StreamFlags uint32

// StreamNonBlocking is for streams that do not wait for the NULL stream.
const StreamNonBlocking StreamFlags = 1 // CU_STREAM_NON_BLOCKING

// EventFlags are the flags of EventCreate.
type EventFlags uint32

const (
	EventTiming        EventFlags = 0 // CU_EVENT_DEFAULT
	EventBlockingSync  EventFlags = 1 // CU_EVENT_BLOCKING_SYNC
	EventDisableTiming EventFlags = 2 // CU_EVENT_DISABLE_TIMING
)

// HostFlags are the flags of MemHostAlloc.
type HostFlags uint32

// HostPortable is for memory that is pinned for all contexts.
const HostPortable HostFlags = 1 // CU_MEMHOSTALLOC_PORTABLE
