package cpu

import "unsafe"

const (
	hugePage   = 2 << 20   // the size of a huge page of amd64, and of arm64 with 4 KiB pages
	hugeFrom   = 256 << 10 // bytes of scratch memory that are worth one
	hugeBeyond = 256 << 10 // bytes of the last huge page that may be unused
)

// growHuge is grow for scratch memory that is read across its rows. If it is large, it lies
// on huge pages where the system has them.
func growHuge[T byte | int32 | float32 | float64](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	size := int(unsafe.Sizeof(*new(T)))
	if n*size < hugeFrom {
		return make([]T, n)
	}
	mem := allocHuge(ceil(n*size, hugePage) * hugePage)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), len(mem)/size)[:n]
}

// allocHuge returns n zero bytes that begin at a huge page and lie on huge pages where
// the system has them. The last one extends past the n bytes by at most hugeBeyond; if it
// would extend further, the end lies on small pages.
func allocHuge(n int) []byte {
	raw := make([]byte, n+hugePage+hugeBeyond)
	mem := raw[-uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%hugePage:]
	adviseSmall(raw) // memory that freeHuge did not see may lie here
	adviseHuge(mem[:n+hugeBeyond])
	discard(raw[:len(raw)-len(mem)])
	discard(mem[n+hugeBeyond:])
	return mem[:n:n]
}

// freeHuge gives back the pages of memory of allocHuge before it is collected. What the
// runtime places there next is on small pages: a huge one would be resident as a whole for
// the little that is used of it.
func freeHuge(mem []byte) {
	discard(mem)
	adviseSmall(unsafe.Slice(unsafe.SliceData(mem), len(mem)+hugeBeyond))
}
