// Package cuda is the backend of NVIDIA GPUs, the driver "cuda" of package backend:
//
//	import _ "github.com/aha-go/aha/backend/cuda"
//
//	b, err := backend.Open("cuda:0")
//
// It needs no CUDA toolkit and no C compiler to build: the libraries are loaded at
// run time, and the kernels are CUDA C++ sources that NVRTC compiles for the device
// at hand, once; compiled kernels are kept in the user's cache folder. Compiling takes
// a few seconds a file, each of which slog's default logger is told of. It has the
// ops of the CPU backend, in the same dtypes and formats.
//
// An output's bits depend on the op, its reduction length, the dtype and the position
// in its own sequence, and on nothing else, as on the CPU. They are not the CPU's
// bits: exponentials and reductions differ within rounding. Options.CuBLASLt, the
// device "cuda:0?products=cublaslt", gives this up for products by NVIDIA's cuBLASLt;
// Path tells the two apart.
//
// A queue is a stream. That of Open is for ops; backend.NewQueue makes others, such as
// one for copies beside them, each with its own pinned staging memory. Events order
// them. All queues share the device's memory: a freed block goes back to the queue that
// allocated it, which uses it again after the work that other queues had on it.
//
// Errors of kernels surface at Download and Sync and name the launches before, on all
// queues; indices out of range are reported there too, by the queue that met them.
// After an error that CUDA calls sticky the device answers with that error alone, on
// every queue.
//
// With AHA_CUDA_DEBUG=1 every launch is waited for, so that Do itself returns the error
// of its kernels and names the one at fault. Work is then several times slower.
//
// The bindings stand in internal folders:
//
//	internal/dynlib   finds and opens shared libraries without cgo
//	internal/driver   the CUDA driver API (libcuda)
//	internal/nvrtc    the run-time compiler (libnvrtc)
//	internal/cublaslt the library of matrix products (libcublasLt), if asked for
//	internal/emu      an emulator of the three for tests on machines without a GPU
//
// They work on Linux and Windows, amd64 and arm64. Elsewhere they compile, and
// opening a device reports errors.ErrUnsupported.
//
// Environment variables name the libraries and end the search for them:
// AHA_CUDA_DRIVER for libcuda, AHA_NVRTC for libnvrtc and AHA_CUBLASLT for
// libcublasLt.
package cuda
