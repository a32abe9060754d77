package driver

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/ctest"
	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// stub is a driver whose library is testdata/stub.c.
type stub struct {
	*Driver
	fail, quiet, take uintptr
}

// openStub builds the stub and opens it as the driver, with an empty log.
func openStub(t testing.TB, flags ...string) *stub {
	t.Helper()
	t.Setenv("AHA_CUDA_DRIVER", ctest.Build(t, "testdata/stub.c", flags...))
	d, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	return control(t, d)
}

func control(t testing.TB, d *Driver) *stub {
	t.Helper()
	lib, err := dynlib.Open(spec())
	if err != nil {
		t.Fatal(err)
	}
	fn, err := lib.Bind([]string{"stubFail", "stubQuiet", "stubTake"})
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{d, fn[0], fn[1], fn[2]}
	s.log()
	return s
}

// failOnce makes the next call of an entry point return code.
func (s *stub) failOnce(call string, code Result) {
	name := append([]byte(call), 0)
	dynlib.Call(s.fail, uintptr(unsafe.Pointer(&name[0])), uintptr(code))
}

// silence turns the log off, so that a call of the stub does almost nothing.
func (s *stub) silence() { dynlib.Call(s.quiet, 1) }

// log returns the lines written since it was last read.
func (s *stub) log() string {
	buf := make([]byte, 1<<16)
	dynlib.Call(s.take, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	runtime.KeepAlive(buf)
	buf, _, _ = bytes.Cut(buf, []byte{0})
	return string(buf)
}

// logged reports an error unless the log consists of exactly these lines.
func (s *stub) logged(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.TrimSpace(s.log()); got != strings.Join(want, "\n") {
		t.Errorf("the library saw\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// step is a call of a driver method, with the name of its entry point.
type step struct {
	name string // the entry point
	do   func() error
}

// steps returns a call of every entry point that a method uses, with
// meaningless arguments.
func steps(t *testing.T, d *Driver) []step {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	host, err := d.MemHostAlloc(64, 0)
	must(err)
	mem, err := d.MemAlloc(128)
	must(err)
	kernel, err := d.ModuleGetFunction(1, "kernel")
	must(err)
	alone := func(_ any, err error) error { return err }
	return []step{
		{"cuInit", func() error { return alone(Open()) }},
		{"cuDriverGetVersion", func() error { return alone(Open()) }},
		{"cuDeviceGetCount", func() error { return alone(d.DeviceGetCount()) }},
		{"cuDeviceGet", func() error { return alone(d.DeviceGet(0)) }},
		{"cuDeviceGetName", func() error { return alone(d.DeviceGetName(0)) }},
		{"cuDeviceGetAttribute", func() error { return alone(d.DeviceGetAttribute(WarpSize, 0)) }},
		{"cuDeviceTotalMem_v2", func() error { return alone(d.DeviceTotalMem(0)) }},
		{"cuDevicePrimaryCtxRetain", func() error { return alone(d.DevicePrimaryCtxRetain(0)) }},
		{"cuDevicePrimaryCtxRelease_v2", func() error { return d.DevicePrimaryCtxRelease(0) }},
		{"cuCtxSetCurrent", func() error { return d.CtxSetCurrent(1) }},
		{"cuCtxGetCurrent", func() error { return alone(d.CtxGetCurrent()) }},
		{"cuCtxSynchronize", d.CtxSynchronize},
		{"cuMemGetInfo_v2", func() error { _, _, err := d.MemGetInfo(); return err }},
		{"cuMemAlloc_v2", func() error { return alone(d.MemAlloc(8)) }},
		{"cuMemFree_v2", func() error { return d.MemFree(0) }},
		{"cuMemHostAlloc", func() error { return alone(d.MemHostAlloc(8, 0)) }},
		{"cuMemFreeHost", func() error { return d.MemFreeHost(nil) }},
		{"cuMemcpyHtoDAsync_v2", func() error { return d.MemcpyHtoDAsync(mem, host, 1) }},
		{"cuMemcpyDtoHAsync_v2", func() error { return d.MemcpyDtoHAsync(host, mem, 1) }},
		{"cuMemcpyDtoDAsync_v2", func() error { return d.MemcpyDtoDAsync(mem, mem+64, 64, 1) }},
		{"cuMemsetD8Async", func() error { return d.MemsetD8Async(mem, 255, 64, 1) }},
		{"cuStreamCreate", func() error { return alone(d.StreamCreate(0)) }},
		{"cuStreamDestroy_v2", func() error { return d.StreamDestroy(1) }},
		{"cuStreamSynchronize", func() error { return d.StreamSynchronize(1) }},
		{"cuStreamWaitEvent", func() error { return d.StreamWaitEvent(1, 2) }},
		{"cuStreamQuery", func() error { return alone(d.StreamQuery(1)) }},
		{"cuEventCreate", func() error { return alone(d.EventCreate(0)) }},
		{"cuEventDestroy_v2", func() error { return d.EventDestroy(2) }},
		{"cuEventRecord", func() error { return d.EventRecord(2, 1) }},
		{"cuEventQuery", func() error { return alone(d.EventQuery(2)) }},
		{"cuEventSynchronize", func() error { return d.EventSynchronize(2) }},
		{"cuEventElapsedTime", func() error { return alone(d.EventElapsedTime(2, 3)) }},
		{"cuModuleLoadData", func() error { return alone(d.ModuleLoadData([]byte("\x7fELF"))) }},
		{"cuModuleUnload", func() error { return d.ModuleUnload(1) }},
		{"cuModuleGetFunction", func() error { return alone(d.ModuleGetFunction(1, "kernel")) }},
		{"cuFuncGetAttribute", func() error { return alone(d.FuncGetAttribute(FuncRegisters, kernel)) }},
		{"cuFuncSetAttribute", func() error { return d.FuncSetAttribute(kernel, FuncMaxDynamicShared, 1) }},
		{"cuLaunchKernel", func() error { return d.Launch(kernel, Dim{X: 1}, Dim{X: 1}, 0, 1, d.Args()) }},
	}
}
