package cpu

import "unsafe"

const (
	hugePage  = 2 << 20   // the size of a huge page of amd64, and of arm64 with 4 KiB pages
	hugeFrom  = 256 << 10 // bytes of scratch memory that are worth one
	alignFrom = 8 << 20   // bytes of a buffer that are worth beginning on one
)

// growHuge is grow for scratch memory that is walked across its rows: if it is large,
// it lies on huge pages where the system has them.
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

// allocHuge is n zero bytes from the beginning of a huge page on; as many whole ones
// as they hold are huge where the system has them. Up to one more is reserved, and not
// used.
func allocHuge(n int) []byte {
	raw := make([]byte, n+hugePage)
	mem := raw[-uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%hugePage:][:n:n]
	adviseHuge(mem)
	return mem
}
