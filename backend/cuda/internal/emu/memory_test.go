//go:build linux && amd64

package emu

import (
	"math"
	"testing"
	"unsafe"
)

func TestFreshMemoryIsNaNInEveryFormat(t *testing.T) {
	e := open(t)
	at := e.alloc(24)
	for i, v := range download[float32](e, at, 6) {
		if v == v {
			t.Errorf("F32 element %d is %v", i, v)
		}
	}
	for i, v := range download[float64](e, at, 3) {
		if v == v {
			t.Errorf("F64 element %d is %v", i, v)
		}
	}
	for i, bits := range download[uint16](e, at, 12) {
		if v := math.Float32frombits(uint32(bits) << 16); v == v {
			t.Errorf("BF16 element %d is %v", i, v)
		}
		if bits&0x7c00 != 0x7c00 || bits&0x3ff == 0 {
			t.Errorf("F16 element %d is %#x", i, bits)
		}
	}
	for i, bits := range download[uint8](e, at, 24) {
		if bits&0x7f != 0x7f { // the codes of NaN in E4M3 and in E5M2
			t.Errorf("byte %d is %#x", i, bits)
		}
	}
}

func TestOutOfMemoryAtTheLimitAndBackAgain(t *testing.T) {
	e := open(t, "AHA_EMU_MEMORY=1000000")
	var total, free uint64
	e.must("cuDeviceTotalMem_v2", &total, 0)
	a := e.alloc(600000)
	e.must("cuMemGetInfo_v2", &free, &total)
	if total != 1000000 || free != 400000 {
		t.Errorf("free %d of %d", free, total)
	}
	var b uintptr
	e.want(outOfMemory, "cuMemAlloc_v2", &b, 400001)
	e.must("cuMemAlloc_v2", &b, 400000)
	e.must("cuMemFree_v2", a)
	e.alloc(600000)
	e.want(invalidValue, "cuMemAlloc_v2", &b, 0)
	e.want(invalidValue, "cuMemFree_v2", a)
	e.want(invalidValue, "cuMemFree_v2", b+1)
}

func TestUseAfterFreeFaultsAndIsSticky(t *testing.T) {
	for _, check := range []string{"0", "1"} {
		e := open(t, "AHA_EMU_CHECK="+check)
		f := e.kernel(addSource, "add")
		x, y := upload(e, make([]float32, 64)), upload(e, make([]float32, 64))
		e.must("cuStreamSynchronize", e.stream)
		e.must("cuMemFree_v2", y)
		e.launch(f, dims{1}, dims{64}, 0, x, y, x, 64)
		e.expect(e.sync(), illegalAddress, "at offset 0 of the freed allocation")
		// Every call fails until the context ends.
		var at uintptr
		e.want(illegalAddress, "cuMemAlloc_v2", &at, 4)
		e.want(illegalAddress, "cuStreamSynchronize", e.stream)
		e.want(illegalAddress, "cuMemcpyDtoHAsync_v2", new([4]byte), x, 4, e.stream)
		e.must("cuDevicePrimaryCtxRelease_v2", 0)
		var context uintptr
		e.must("cuDevicePrimaryCtxRetain", &context, 0)
		e.want(invalidContext, "cuMemAlloc_v2", &at, 4) // the new context is not current
		e.must("cuCtxSetCurrent", context)
		e.alloc(4)
	}
}

func TestNullAndHostPointersAreIllegal(t *testing.T) {
	e := open(t)
	f := e.kernel(addSource, "add")
	e.launch(f, dims{1}, dims{1}, 0, uintptr(0), uintptr(0), uintptr(0), 1)
	e.expect(e.sync(), illegalAddress, "null pointer")
	e = open(t, "AHA_EMU_CHECK=1")
	host := make([]float32, 1)
	x, f := uintptr(unsafe.Pointer(&host[0])), e.kernel(addSource, "add")
	e.launch(f, dims{1}, dims{1}, 0, x, e.alloc(4), e.alloc(4), 1)
	e.expect(e.sync(), illegalAddress, "neither device nor shared memory")
}

func TestCopiesOutsideAllocationsAreRefused(t *testing.T) {
	e := open(t)
	at, host := e.alloc(100), make([]byte, 200)
	e.want(invalidValue, "cuMemcpyHtoDAsync_v2", at, &host[0], 101, e.stream)
	e.want(invalidValue, "cuMemcpyDtoHAsync_v2", &host[0], at+1, 100, e.stream)
	e.want(invalidValue, "cuMemcpyDtoDAsync_v2", at, &host[0], 10, e.stream)
	e.want(invalidValue, "cuMemcpyHtoDAsync_v2", at, at, 10, e.stream)
	e.want(invalidValue, "cuMemsetD8Async", at+100, 0, 1, e.stream)
	e.must("cuMemsetD8Async", at, 7, 100, e.stream)
	if got := download[byte](e, at, 100); got[0] != 7 || got[99] != 7 {
		t.Errorf("set to %v", got)
	}
}

func TestPinnedMemoryIsReadWhenTheCopyRuns(t *testing.T) {
	e := open(t)
	var host *[4]float32
	e.must("cuMemHostAlloc", &host, 16, 0)
	if host[0] == host[0] {
		t.Errorf("fresh pinned memory holds %v", host[0])
	}
	at := e.alloc(16)
	pageable := []float32{1, 2, 3, 4}
	*host = [4]float32{1, 2, 3, 4}
	e.must("cuMemcpyHtoDAsync_v2", at, host, 16, e.stream)
	host[0] = 9 // too early: the copy has not run yet
	if got := download[float32](e, at, 4); got[0] != 9 {
		t.Errorf("pinned: %v", got)
	}
	e.must("cuMemcpyHtoDAsync_v2", at, &pageable[0], 16, e.stream)
	pageable[0] = 9
	e.must("cuMemcpyDtoHAsync_v2", host, at, 16, e.stream)
	if host[0] != 9 {
		t.Errorf("a copy to pinned memory ran before anyone waited")
	}
	e.must("cuStreamSynchronize", e.stream)
	if *host != [4]float32{1, 2, 3, 4} {
		t.Errorf("pageable: %v", *host)
	}
	e.must("cuMemFreeHost", host)
	e.want(invalidValue, "cuMemFreeHost", host)
}

func TestCheckModeSeesPartsThatNobodyHasWritten(t *testing.T) {
	e := open(t, "AHA_EMU_CHECK=1")
	f := e.kernel(addSource, "add")
	x, y := e.alloc(40), e.alloc(40)
	e.must("cuMemsetD8Async", x, 0, 36, e.stream)
	e.must("cuMemcpyDtoDAsync_v2", y, x, 40, e.stream) // the last element stays uninitialised
	e.launch(f, dims{1}, dims{9}, 0, x, y, x, 9)
	if code := e.sync(); code != success {
		t.Fatalf("code %d: %s", code, e.text(code))
	}
	e.launch(f, dims{1}, dims{10}, 0, y, y, x, 10)
	e.expect(e.sync(), launchFailed,
		"thread (9,0,0), test.cu:4: reads what nobody has written (at offset 36 of the allocation")
}

func TestCheckModeSeesRacesBetweenBlocks(t *testing.T) {
	const source = `
extern "C" __global__ void last(float *out, unsigned *count, int fence) {
	out[blockIdx.x] = 1;
	if (fence) __threadfence();
	if (atomicAdd(count, 1u) == gridDim.x - 1) {
		float sum = 0;
		for (int i = 0; i < gridDim.x; i++) sum += out[i];
		out[gridDim.x] = sum;
	}
}
`
	for fence := range 2 {
		e := open(t, "AHA_EMU_CHECK=1")
		out := e.alloc(20)
		e.launch(e.kernel(source, "last"), dims{4}, dims{1}, 0, out, upload(e, []uint32{0}), fence)
		if fence == 1 {
			e.expect(e.sync(), success, "")
		} else {
			e.expect(e.sync(), launchFailed, "test.cu:7: race: reads what another block of the launch wrote")
		}
	}
}
