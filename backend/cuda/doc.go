// Package cuda is the home of the CUDA backend. It needs no CUDA toolkit and no
// C compiler to build: the libraries are loaded at run time, and the kernels are
// CUDA C++ sources that NVRTC compiles for the device at hand.
//
// The bindings stand in internal folders:
//
//	internal/dynlib   finds and opens shared libraries without cgo
//	internal/driver   the CUDA driver API (libcuda)
//	internal/nvrtc    the run-time compiler (libnvrtc)
//
// They work on Linux and Windows, amd64 and arm64. Elsewhere they compile, and
// opening a library reports errors.ErrUnsupported.
//
// Two environment variables name the libraries and end the search for them:
// AHA_CUDA_DRIVER for libcuda and AHA_NVRTC for libnvrtc.
package cuda
