//go:build amd64 || arm64

package dynlib

import (
	"unsafe"

	"github.com/ebitengine/purego"
)

const (
	supported      = true
	loaderSearches = true // LD_LIBRARY_PATH and the folders of ldconfig
)

func open(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

// location returns the file of an open library, path if the loader does not tell.
// The handle's link map begins with an address and the file's name (link.h).
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

func symbol(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }

// Call calls the C function at fn with integer and pointer arguments, and
// returns its result, of which only the bits of the C type count. Memory that an
// argument of the form uintptr(unsafe.Pointer(p)) points to stays where it is
// during the call.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(fn, args...)
	return r
}
