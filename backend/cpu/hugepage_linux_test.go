package cpu

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// The memory of a freed buffer is given back before the garbage collector runs.
func TestFreeGivesPagesOfLargeBuffersBack(t *testing.T) {
	const size = 256 << 20
	b := withWorkers(t, 1)
	before := resident(t) // Alloc may clear memory that was used before, and so make it resident
	buf, err := b.Alloc(size)
	if err != nil {
		t.Fatal(err)
	}
	mem := buf.(*buffer).mem
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
	full := resident(t)
	if full-before < size/2 {
		t.Fatalf("%d bytes are resident after %d bytes were written, %d before Alloc", full, size, before)
	}
	b.Free(buf)
	if left := resident(t); full-left < size*9/10 {
		t.Errorf("%d of %d bytes are resident after Free, %d before Alloc", left, full, before)
	}
	runtime.KeepAlive(mem)
}

// resident is the memory of the process that is in RAM, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
