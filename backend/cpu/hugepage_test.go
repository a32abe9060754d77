package cpu

import (
	"testing"
	"unsafe"
)

func TestLargeBuffersBeginOnAHugePageAndAreZeroWhenMemoryIsUsedAgain(t *testing.T) {
	b := withWorkers(t, 1)
	for _, size := range []int{hugePage, hugePage + 1, 2*hugePage - hugeBeyond, 3*hugePage + 4096} {
		for range 30 { // more than is collected at a time
			buf, err := b.Alloc(size)
			if err != nil {
				t.Fatal(err)
			}
			mem := buf.(*buffer).mem
			if at := uintptr(unsafe.Pointer(&mem[0])); len(mem) != size || cap(mem) != size || at%hugePage != 0 {
				t.Fatalf("%d bytes: %d of %d at %#x", size, len(mem), cap(mem), at)
			}
			for i := range mem {
				if mem[i] != 0 {
					t.Fatalf("%d bytes: byte %d is %d", size, i, mem[i])
				}
				mem[i] = 0xff
			}
			b.Free(buf)
		}
	}
}

func TestScratchOnHugePagesHasTheLengthAskedFor(t *testing.T) {
	for _, n := range []int{0, 1, hugeFrom/4 - 1, hugeFrom / 4, hugePage / 4, hugePage/4 + 1} {
		s := growHuge([]float32(nil), n)
		if len(s) != n {
			t.Errorf("%d elements, want %d", len(s), n)
		}
		if again := growHuge(s[:0], n); n > 0 && &again[0] != &s[0] {
			t.Errorf("%d elements are allocated again", n)
		}
		if large := n*4 >= hugeFrom; large && (cap(s)*4%hugePage != 0 || uintptr(unsafe.Pointer(&s[0]))%hugePage != 0) {
			t.Errorf("%d elements at %p, capacity %d: want whole huge pages", n, &s[0], cap(s))
		}
	}
}
