package driver

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/backend/cuda/internal/ctest"
)

func want[T comparable](t *testing.T, what string, got T, err error, wanted T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if got != wanted {
		t.Errorf("%s = %v, want %v", what, got, wanted)
	}
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestDeviceCallsPassTheirArgumentsAndResults(t *testing.T) {
	s := openStub(t)
	if s.Version != 12040 {
		t.Errorf("Version = %d", s.Version)
	}
	n, err := s.DeviceGetCount()
	want(t, "DeviceGetCount", n, err, 3)
	dev, err := s.DeviceGet(2)
	want(t, "DeviceGet", dev, err, 12)
	name, err := s.DeviceGetName(dev)
	want(t, "DeviceGetName", name, err, "Stub GPU 12")
	v, err := s.DeviceGetAttribute(ComputeCapabilityMajor, dev) // negative: the sign of a C int is kept
	want(t, "DeviceGetAttribute", v, err, -75)
	n, err = s.DeviceTotalMem(dev)
	want(t, "DeviceTotalMem", n, err, 80<<30)
	ctx, err := s.DevicePrimaryCtxRetain(dev)
	want(t, "DevicePrimaryCtxRetain", ctx, err, 0xc00c)
	fine(t, s.DevicePrimaryCtxRelease(dev))
	fine(t, s.CtxSynchronize())
	s.logged(t,
		"cuDeviceGetCount ", "cuDeviceGet 2", "cuDeviceGetName 256 12", "cuDeviceGetAttribute 75 12",
		"cuDeviceTotalMem_v2 12", "cuDevicePrimaryCtxRetain 12", "cuDevicePrimaryCtxRelease_v2 12",
		"cuCtxSynchronize")
}

func TestMemoryCallsPassTheirArgumentsAndResults(t *testing.T) {
	s := openStub(t)
	free, total, err := s.MemGetInfo()
	want(t, "MemGetInfo", [2]int{free, total}, err, [2]int{60 << 30, 80 << 30})
	host, err := s.MemHostAlloc(1000, HostPortable)
	if err != nil || len(host) != 1000 || cap(host) != 1000 {
		t.Fatalf("MemHostAlloc: %d bytes, %v", len(host), err)
	}
	mem, err := s.MemAlloc(2000)
	if err != nil || mem == 0 {
		t.Fatalf("MemAlloc: %#x, %v", mem, err)
	}
	for i := range host {
		host[i] = byte(i)
	}
	sent := slices.Clone(host)
	fine(t, s.MemcpyHtoDAsync(mem, host, 0x51))
	fine(t, s.MemcpyDtoDAsync(mem+1000, mem, 1000, 0x52))
	fine(t, s.MemsetD8Async(mem+1010, 0xfe, 10, 0x53))
	fine(t, s.MemcpyDtoHAsync(host[:500], mem+1000, 0x54))
	for i := 10; i < 20; i++ {
		sent[i] = 0xfe
	}
	if !bytes.Equal(host, sent) {
		t.Error("the data came back changed")
	}
	fine(t, s.MemFree(mem))
	fine(t, s.MemFreeHost(host))
	s.logged(t,
		"cuMemGetInfo_v2 ", "cuMemHostAlloc 1000 1", "cuMemAlloc_v2 2000", "cuMemcpyHtoDAsync_v2 1000 0x51",
		"cuMemcpyDtoDAsync_v2 1000 0x52", "cuMemsetD8Async 254 10 0x53", "cuMemcpyDtoHAsync_v2 500 0x54",
		"cuMemFree_v2 ", "cuMemFreeHost")
}

func TestStreamAndEventCallsPassTheirArgumentsAndResults(t *testing.T) {
	s := openStub(t)
	q, err := s.StreamCreate(StreamNonBlocking)
	want(t, "StreamCreate", q, err, 0x5100)
	e, err := s.EventCreate(EventDisableTiming | EventBlockingSync)
	want(t, "EventCreate", e, err, 0xe100)
	fine(t, s.EventRecord(e, q))
	fine(t, s.StreamWaitEvent(q, e))
	s.failOnce("cuStreamQuery", notReady)
	done, err := s.StreamQuery(q)
	want(t, "StreamQuery of a busy stream", done, err, false)
	done, err = s.StreamQuery(q)
	want(t, "StreamQuery", done, err, true)
	s.failOnce("cuEventQuery", notReady)
	done, err = s.EventQuery(e)
	want(t, "EventQuery of a pending event", done, err, false)
	done, err = s.EventQuery(e)
	want(t, "EventQuery", done, err, true)
	fine(t, s.EventSynchronize(e))
	fine(t, s.StreamSynchronize(q))
	took, err := s.EventElapsedTime(e, e+1)
	want(t, "EventElapsedTime", took, err, 1500*time.Microsecond)
	fine(t, s.EventDestroy(e))
	fine(t, s.StreamDestroy(q))
	s.logged(t,
		"cuStreamCreate 1", "cuEventCreate 3", "cuEventRecord 0xe100 0x5100", "cuStreamWaitEvent 0x5100 0xe100 0",
		"cuStreamQuery 0x5100", "cuStreamQuery 0x5100", "cuEventQuery 0xe100", "cuEventQuery 0xe100",
		"cuEventSynchronize 0xe100", "cuStreamSynchronize 0x5100", "cuEventElapsedTime 0xe100 0xe101",
		"cuEventDestroy_v2 0xe100", "cuStreamDestroy_v2 0x5100")
}

func TestModuleCallsPassTheirArgumentsAndResults(t *testing.T) {
	s := openStub(t)
	m, err := s.ModuleLoadData([]byte("ELF!"))
	want(t, "ModuleLoadData", m, err, 0x3000)
	f, err := s.ModuleGetFunction(m, "rmsnorm")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "Function.Name", f.Name, nil, "rmsnorm")
	n, err := s.FuncGetAttribute(FuncRegisters, f)
	want(t, "FuncGetAttribute", n, err, 104)
	fine(t, s.FuncSetAttribute(f, FuncMaxDynamicShared, 65536))
	fine(t, s.ModuleUnload(m))
	s.logged(t,
		"cuModuleLoadData ELF!", "cuModuleGetFunction 0x3000 rmsnorm", "cuFuncGetAttribute 4 0xf000",
		"cuFuncSetAttribute 0xf000 8 65536", "cuModuleUnload 0x3000")
}

func TestEveryFailingCallIsAnErrorThatNamesIt(t *testing.T) {
	s := openStub(t)
	tested := map[string]bool{"cuGetErrorName": true, "cuGetErrorString": true} // they describe errors
	for _, step := range steps(t, s.Driver) {
		tested[step.name] = true
		s.failOnce(step.name, 999)
		err := step.do()
		var e *Error
		if !errors.As(err, &e) || e.Call != step.name || e.Code != 999 {
			t.Errorf("%s failed and gave %v", step.name, err)
			continue
		}
		if e.Name != "NAME_999" || e.Message != "the stub's message" || e.Sticky() {
			t.Errorf("%s: %+v", step.name, e)
		}
		if err := step.do(); err != nil {
			t.Errorf("%s after its failure: %v", step.name, err)
		}
	}
	for _, name := range callNames {
		if !tested[name] {
			t.Errorf("%s was never made to fail", name)
		}
	}
}

func TestErrorsAreFoundByTheirCode(t *testing.T) {
	s := openStub(t)
	for _, c := range []struct {
		code   Result
		is     error
		sticky bool
	}{
		{2, OutOfMemory, false},
		{1, InvalidValue, false},
		{100, NoDevice, false},
		{700, IllegalAddress, true},
		{719, LaunchFailed, true},
		{716, ErrSticky, true},
		{214, ErrSticky, true},
	} {
		s.failOnce("cuMemAlloc_v2", c.code)
		_, err := s.MemAlloc(4096)
		if !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", err, c.is)
		}
		if errors.Is(err, ErrSticky) != c.sticky || errors.Is(err, Result(3)) {
			t.Errorf("%v: sticky is %v", err, !c.sticky)
		}
		if !strings.Contains(err.Error(), "cuMemAlloc_v2 (4096 bytes): NAME_") {
			t.Errorf("%v: no call, size or name", err)
		}
	}
}

func TestAnErrorWithoutANameKeepsItsCode(t *testing.T) {
	s := openStub(t)
	s.failOnce("cuGetErrorName", 1) // stays set, since only a checked call clears it
	r := s.failure(cuInit, 12345, "")
	if got := r.Error(); got != "cuInit: unknown error (12345): the stub's message" {
		t.Error(got)
	}
}

func TestALibraryThatLacksCallsIsRefused(t *testing.T) {
	path := ctest.Build(t, "testdata/stub.c", "-DTOO_OLD", "-DcuMemAlloc_v2=cuMemAlloc")
	t.Setenv("AHA_CUDA_DRIVER", path)
	_, err := Open()
	if err == nil || !strings.Contains(err.Error(), path+" lacks cuMemAlloc_v2, cuLaunchKernel:") {
		t.Errorf("got %v", err)
	}
}
