//go:build amd64 || arm64

package dynlib

import (
	"syscall"

	"golang.org/x/sys/windows"
)

const (
	supported      = true
	loaderSearches = false // the loader would search the current folder
)

// open loads the library at path, and those that it needs from its own folder.
func open(path string) (uintptr, error) {
	h, err := windows.LoadLibraryEx(path, 0, windows.LOAD_WITH_ALTERED_SEARCH_PATH)
	return uintptr(h), err
}

// location returns the file of an open library, or path if the loader does not
// tell.
func location(handle uintptr, path string) string {
	var buf [windows.MAX_LONG_PATH]uint16
	n, err := windows.GetModuleFileName(windows.Handle(handle), &buf[0], uint32(len(buf)))
	if err != nil {
		return path
	}
	return windows.UTF16ToString(buf[:n])
}

func symbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}

// Call calls the C function at fn with integer and pointer arguments and
// returns its result, of which only the bits of the C type are defined. Memory
// to which an argument of the form uintptr(unsafe.Pointer(p)) points does not
// move during the call.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	r, _, _ := syscall.SyscallN(fn, args...)
	return r
}
