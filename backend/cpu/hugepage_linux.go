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

// adviseSmall asks for small pages beneath mem.
func adviseSmall(mem []byte) {
	if inner := wholePages(mem); len(inner) > 0 {
		_ = unix.Madvise(inner, unix.MADV_NOHUGEPAGE)
	}
}

// discard gives back the whole pages of mem, whose content becomes undefined: the
// runtime clears memory that it uses again, and so makes padding resident.
func discard(mem []byte) {
	if inner := wholePages(mem); len(inner) > 0 {
		_ = unix.Madvise(inner, unix.MADV_DONTNEED)
	}
}

// wholePages is the part of mem that consists of whole pages.
func wholePages(mem []byte) []byte {
	page := unix.Getpagesize()
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) % uintptr(page))
	size := max((len(mem)-skip)&^(page-1), 0)
	return mem[min(skip, len(mem)):][:size]
}
