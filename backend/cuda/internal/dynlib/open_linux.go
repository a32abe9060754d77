//go:build amd64 || arm64

package dynlib

import (
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

const (
	supported      = true
	loaderSearches = true // LD_LIBRARY_PATH and the folders of ldconfig
)

// open opens the library at path. The loader keeps the text of its last error
// for each thread, so the goroutine must not move to another thread before that
// is read.
func open(path string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

// location returns the file of an open library, or path if the loader does not
// tell. The handle's link map starts with an address and the file's name
// (link.h).
func location(handle uintptr, path string) string {
	dlinfo, err := purego.Dlsym(purego.RTLD_DEFAULT, "dlinfo")
	if err != nil {
		return path
	}
	const linkMap = 2 // RTLD_DI_LINKMAP
	var info *struct{ addr, name uintptr }
	if r := Call(dlinfo, handle, linkMap, uintptr(unsafe.Pointer(&info))); int32(r) != 0 {
		return path
	}
	return GoString(info.name)
}

func symbol(handle uintptr, name string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlsym(handle, name)
}

// Call calls the C function at fn with integer and pointer arguments and
// returns its result, of which only the bits of the C type are defined. Memory
// to which an argument of the form uintptr(unsafe.Pointer(p)) points does not
// move during the call.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(fn, args...)
	return r
}
