// Package cuda is the backend for NVIDIA GPUs. It registers the driver "cuda" of
// package backend:
//
//	import _ "github.com/aha-go/aha/backend/cuda"
//
//	b, err := backend.Open("cuda:0")
//
// Building it needs neither the CUDA toolkit nor a C compiler: the libraries are
// loaded at run time, and the kernels are CUDA C++ sources that NVRTC compiles for
// the device. Compiling takes a few seconds per file, which is logged through
// slog's default logger; compiled kernels are kept in the user's cache folder. The
// backend has the ops of the CPU backend, in the same dtypes and formats.
//
// As on the CPU, an output's bits depend on the op, its reduction length, the dtype
// and the position in its own sequence, and on nothing else. They differ from the
// CPU's bits: exponentials and reductions agree only within rounding.
// Options.CuBLASLt, or the device "cuda:0?products=cublaslt", gives up this
// exactness and computes products with NVIDIA's cuBLASLt; Path tells the two apart.
//
// A queue is a CUDA stream. That of Open is for ops. backend.NewQueue makes others,
// for example for copies that run concurrently, each with its own pinned staging
// memory. Events order work between queues. All queues share the device's memory: a
// freed block goes back to the queue that allocated it, which reuses it after the
// work of other queues that used it.
//
// Errors of kernels are returned by Download and Sync of any queue and name the
// launches before. An index out of range is reported there too, by the queue whose
// op found it. After an error that CUDA calls sticky, every call on the device
// returns only that error.
//
// With AHA_CUDA_DEBUG=1, Do waits for every launch, so that it returns the errors of
// its own kernels and names the kernel at fault. This is several times slower.
//
// The bindings are in internal folders:
//
//	internal/dynlib   finds and opens shared libraries without cgo
//	internal/driver   the CUDA driver API (libcuda)
//	internal/nvrtc    the run-time compiler (libnvrtc)
//	internal/cublaslt the library of matrix products (libcublasLt), if asked for
//	internal/emu      an emulator of the three for tests on machines without a GPU
//
// They work on Linux and Windows, on amd64 and arm64. Elsewhere they compile, but
// opening a device returns errors.ErrUnsupported.
//
// Environment variables may set the paths of the libraries, which are then not
// searched for: AHA_CUDA_DRIVER for libcuda, AHA_NVRTC for libnvrtc and AHA_CUBLASLT
// for libcublasLt.
package cuda
