//go:build linux && amd64

package emu

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestInjectedFailuresHappenOnce(t *testing.T) {
	e := open(t, "AHA_EMU_FAIL=cuMemAlloc_v2:2,cuLaunchKernel:1:701,nvrtcCompileProgram:1")
	var at uintptr
	e.must("cuMemAlloc_v2", &at, 4)
	e.want(outOfMemory, "cuMemAlloc_v2", &at, 4)
	e.must("cuMemAlloc_v2", &at, 4)
	if _, _, code := e.compile(addSource); code != nvrtcCompile {
		t.Errorf("compile: code %d", code)
	}
	f := e.kernel(addSource, "add")
	x := upload(e, []float32{1})
	if code := e.tryLaunch(f, e.stream, dims{1}, dims{1}, 0, x, x, x, 1); code != outOfResources {
		t.Errorf("launch: code %d", code)
	}
	e.launch(f, dims{1}, dims{1}, 0, x, x, x, 1)
	if got := download[float32](e, x, 1)[0]; got != 2 {
		t.Errorf("after the failure: %v", got)
	}
}

func TestEveryEntryPointCanBeMadeToFail(t *testing.T) {
	driver := strings.Fields(`cuInit cuDriverGetVersion cuGetErrorName cuGetErrorString cuDeviceGetCount cuDeviceGet
		cuDeviceGetName cuDeviceGetAttribute cuDeviceTotalMem_v2 cuDevicePrimaryCtxRetain cuDevicePrimaryCtxRelease_v2
		cuCtxSetCurrent cuCtxGetCurrent cuCtxSynchronize cuMemGetInfo_v2 cuMemAlloc_v2 cuMemFree_v2 cuMemHostAlloc
		cuMemFreeHost cuMemcpyHtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuMemcpyDtoDAsync_v2 cuMemsetD8Async cuStreamCreate
		cuStreamDestroy_v2 cuStreamSynchronize cuStreamWaitEvent cuStreamQuery cuEventCreate cuEventDestroy_v2
		cuEventRecord cuEventQuery cuEventSynchronize cuEventElapsedTime cuModuleLoadData cuModuleUnload
		cuModuleGetFunction cuFuncGetAttribute cuFuncSetAttribute cuLaunchKernel`)
	nvrtc := strings.Fields(`nvrtcVersion nvrtcCreateProgram nvrtcDestroyProgram nvrtcCompileProgram
		nvrtcGetProgramLogSize nvrtcGetProgramLog nvrtcGetCUBINSize nvrtcGetCUBIN`)
	cublasLt := strings.Fields(`cublasLtCreate cublasLtDestroy cublasLtMatmulDescCreate cublasLtMatmulDescDestroy
		cublasLtMatmulDescSetAttribute cublasLtMatrixLayoutCreate cublasLtMatrixLayoutDestroy
		cublasLtMatrixLayoutSetAttribute cublasLtMatmulPreferenceCreate cublasLtMatmulPreferenceDestroy
		cublasLtMatmulPreferenceSetAttribute cublasLtMatmulAlgoGetHeuristic cublasLtMatmul`)
	e := open(t)
	for _, name := range slices.Concat(driver, nvrtc, cublasLt) {
		t.Setenv("AHA_EMU_FAIL", name+":1:999")
		if name != "cuInit" {
			e.must("cuInit", 0)
		}
		e.want(unknown, name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	t.Setenv("AHA_EMU_FAIL", "")
	e.must("cuInit", 0)
}

func TestInjectedDeviceErrorsAreSticky(t *testing.T) {
	e := open(t, "AHA_EMU_FAIL=cuStreamSynchronize:1:719")
	e.want(launchFailed, "cuStreamSynchronize", e.stream)
	e.want(launchFailed, "cuCtxSynchronize")
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", "")
	path, err := Build(t.TempDir())
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "g++ is missing") {
		t.Errorf("path %q, error %v", path, err)
	}
}

func TestBadSettingsAreErrorsOfInit(t *testing.T) {
	e := open(t)
	for _, setting := range []string{
		"AHA_EMU_SCHEDULE=lifo", "AHA_EMU_MEMORY=1G", "AHA_EMU_FAIL=cuInit", "AHA_EMU_FAIL=cuInit:1:x",
	} {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
		e.want(invalidValue, "cuInit", 0)
		if text := e.text(invalidValue); !strings.Contains(text, name) || !strings.Contains(text, value) {
			t.Errorf("%s: %s", setting, text)
		}
		t.Setenv(name, "")
	}
	t.Setenv("AHA_EMU_CHECK", "1") // but the context was opened without it
	e.want(invalidValue, "cuInit", 0)
	t.Setenv("AHA_EMU_CHECK", "")
	e.must("cuInit", 0)
}

func TestTheCurrentContextBelongsToTheThread(t *testing.T) {
	e := open(t)
	codes := make(chan int)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var at uintptr
		codes <- e.call("cuMemAlloc_v2", &at, 4)
	}()
	if code := <-codes; code != invalidContext {
		t.Errorf("code %d on a thread without a context, want %d", code, invalidContext)
	}
}

func TestTheNullStreamIsRefused(t *testing.T) {
	e := open(t)
	f := e.kernel(addSource, "add")
	at := e.alloc(4)
	e.expect(e.tryLaunch(f, 0, dims{1}, dims{1}, 0, at, at, at, 1), invalidHandle, "NULL stream")
	e.want(invalidHandle, "cuMemsetD8Async", at, 0, 4, 0)
	e.want(invalidHandle, "cuStreamSynchronize", 0)
}

func TestLaunchesBeyondTheDevicesLimitsAreRefused(t *testing.T) {
	e := open(t)
	m := e.module(`extern "C" __global__ void __launch_bounds__(2 * 32, 4) f(float *x) {
	__shared__ float tile[48 * 256]; // all 48 KiB
	tile[threadIdx.x] = x[0];
	__syncthreads();
	x[0] = tile[0];
}`)
	f, at := e.function(m, "f"), e.alloc(4)
	for _, c := range []struct {
		grid, block dims
		shared      int
		want        int
	}{
		{dims{1}, dims{65}, 0, outOfResources},
		{dims{1}, dims{1025}, 0, invalidValue},
		{dims{1}, dims{1, 1, 65}, 0, invalidValue},
		{dims{1, 65536}, dims{1}, 0, invalidValue},
		{dims{1}, dims{64}, 4, invalidValue},
	} {
		if code := e.tryLaunch(f, e.stream, c.grid, c.block, c.shared, at); code != c.want {
			t.Errorf("grid %v, block %v, %d bytes: code %d, want %d", c.grid, c.block, c.shared, code, c.want)
		}
	}
}

func TestFaultsOfAKernelDoNotEndTheProcess(t *testing.T) {
	for source, want := range map[string]string{
		"x[1 << 30] = 1;": "outside every allocation",
		"x[0] = 7 / n;":   "integer division by zero",
		"__trap();":       "__trap",
		`float deep[100000];
		deep[n] = 1;
		for (int i = 0; i < 100000; i++) deep[i] += x[n] + deep[99999 - i];
		x[0] = deep[n + 5];`: "stack overflow",
	} {
		e := open(t)
		f := e.kernel("extern \"C\" __global__ void f(float *x, int n) {\n"+source+"\n}", "f")
		e.launch(f, dims{1}, dims{1}, 0, upload(e, []float32{0}), 0)
		code := e.sync()
		if text := e.text(code); code == success || !strings.Contains(text, want) || !strings.Contains(text, "test.cu:") {
			t.Errorf("%s: code %d: %s, want %q", source, code, text, want)
		}
	}
	// Faults of Go code are still handled by Go.
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(error).Error(), "nil pointer") {
			t.Errorf("recovered %v", r)
		}
	}()
	var p *int
	*p = 1
}

func TestImagesOfAnotherModeAreRefused(t *testing.T) {
	e := open(t)
	image, _, _ := e.compile(addSource)
	var major, minor, checkMinor int32
	e.must("nvrtcVersion", &major, &minor)
	e = open(t, "AHA_EMU_CHECK=1")
	e.must("nvrtcVersion", &major, &checkMinor)
	if minor == checkMinor {
		t.Errorf("version %d.%d in both modes", major, minor)
	}
	var module uintptr
	e.want(invalidImage, "cuModuleLoadData", &module, &image[0])
	e.want(invalidImage, "cuModuleLoadData", &module, cstring("//  .version 8.0, which is PTX"))
}
