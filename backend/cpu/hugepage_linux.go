package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages beneath mem, as far as whole ones lie in it. A
// cache of keys is read and written a row here and a row there: with pages of
// 4 KiB nearly every row misses the processor's table of pages. It is advice,
// which a kernel without huge pages refuses, so no error matters.
func adviseHuge(mem []byte) {
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) % hugePage)
	if size := (len(mem) - skip) &^ (hugePage - 1); size > 0 {
		_ = unix.Madvise(mem[skip:skip+size], unix.MADV_HUGEPAGE)
	}
}

// discard gives back the whole pages of mem, whose content becomes undefined: the
// runtime clears memory that it uses again, and so makes padding resident.
func discard(mem []byte) {
	page := unix.Getpagesize()
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) % uintptr(page))
	if size := (len(mem) - skip) &^ (page - 1); size > 0 {
		_ = unix.Madvise(mem[skip:skip+size], unix.MADV_DONTNEED)
	}
}
