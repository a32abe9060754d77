package cpu

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func limited(t *testing.T, bytes int) *CPU {
	t.Helper()
	b := newCPU(1, []limit{{bytes: bytes, source: "test", own: true}})
	t.Cleanup(func() { b.Close() })
	return b
}

func allocFor(t *testing.T, b *CPU, h backend.Holder, bytes int) backend.Buffer {
	t.Helper()
	buf, err := b.AllocFor(h, bytes)
	if err != nil {
		t.Fatal(err)
	}
	return buf
}

func TestOutOfMemoryNamesTheBudgetAndTheLargestHolders(t *testing.T) {
	b := limited(t, 10<<20)
	allocFor(t, b, backend.KVCache, 1<<20)
	allocFor(t, b, backend.Parameters, 2<<20)
	p := allocFor(t, b, backend.Parameters, 3<<20)
	b.Free(allocFor(t, b, backend.Activations, 1<<20))
	const want = "cpu: out of memory: 5.0 MiB for optimizer do not fit: the budget is 10.0 MiB (test), " +
		"6.0 MiB are in use: parameters 5.0 MiB, KV cache 1.0 MiB"
	if _, err := b.AllocFor(backend.Optimizer, 5<<20); err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	if total, free := b.MemInfo(); total != 10<<20 || free != 4<<20 {
		t.Errorf("total %d, free %d after an allocation that failed", total, free)
	}
	b.Free(p)
	b.Free(p) // freeing a buffer twice counts once
	if _, free := b.MemInfo(); free != 7<<20 {
		t.Errorf("free %d, want what was freed", free)
	}
	allocFor(t, b, backend.Optimizer, 7<<20)
	if _, free := b.MemInfo(); free != 0 {
		t.Errorf("free %d of a full budget", free)
	}
}

// CPU backends of one process share the machine's memory. A closed one no
// longer counts.
func TestCPUsOfAProcessShareItsBudget(t *testing.T) {
	before := int(processUsed.Load())
	shared := []limit{{bytes: before + 10<<20, source: "machine"}}
	a, b := newCPU(1, shared), newCPU(1, shared)
	defer b.Close()
	buf := allocFor(t, a, backend.Parameters, 8<<20)
	const want = "6.0 MiB for KV cache do not fit"
	_, err := b.AllocFor(backend.KVCache, 6<<20)
	if err == nil || !strings.Contains(err.Error(), want) ||
		!strings.HasSuffix(err.Error(), "other CPU backends of this process 8.0 MiB") {
		t.Errorf("error %v, want %q and the other's 8 MiB", err, want)
	}
	a.Close()
	allocFor(t, b, backend.KVCache, 6<<20)
	a.Free(buf) // the memory of a closed CPU was released by Close
	if used := int(processUsed.Load()); used != before+6<<20 {
		t.Errorf("%d bytes in use, want %d", used-before, 6<<20)
	}
}

// Freed buffers are garbage until they are collected. They must not exceed the
// limit together, however late the collector runs.
func TestFreedMemoryIsCollectedBeforeItExceedsTheBudget(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector never runs by itself
	const limit, each = 64 << 20, 24 << 20
	b := limited(t, limit)
	runtime.GC()
	uncollected.Store(0)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	for range 12 {
		b.Free(allocFor(t, b, backend.Activations, each))
		runtime.ReadMemStats(&m)
		if used := int(m.HeapAlloc) - int(before); used > limit+1<<20 {
			t.Fatalf("%d MiB on the heap with a budget of %d MiB", used>>20, limit>>20)
		}
	}
}

// Packing a model frees the F32 form of one matrix after the other. Even
// without limits, these must not pile up beside the memory in use.
func TestFreedBuffersDoNotPileUp(t *testing.T) {
	b := newCPU(1, nil)
	defer b.Close()
	const bytes = 16 << 20
	allocFor(t, b, backend.Parameters, bytes)
	for range 12 {
		b.Free(allocFor(t, b, backend.Activations, bytes))
		allowed := max(minGarbage, int(processUsed.Load())/garbageShare) + bytes
		if garbage := int(uncollected.Load()); garbage > allowed {
			t.Fatalf("%d bytes of freed buffers may not be collected, want at most %d", garbage, allowed)
		}
	}
}
