//go:build linux && amd64

package emu

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Result codes of the driver and of NVRTC.
const (
	success         = 0
	invalidValue    = 1
	outOfMemory     = 2
	invalidImage    = 200
	invalidContext  = 201
	invalidHandle   = 400
	notFound        = 500
	notReady        = 600
	illegalAddress  = 700
	outOfResources  = 701
	launchFailed    = 719
	unknown         = 999
	nvrtcCompile    = 6
	nvrtcBadOption  = 5
	attributeShared = 8
)

// library is the emulator, loaded once.
var library = sync.OnceValues(func() (uintptr, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path, err := Build(filepath.Join(cache, "aha", "emu"))
	if err != nil {
		return 0, err
	}
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
})

// emulator is an open device of the emulator.
type emulator struct {
	testing.TB
	lib    uintptr
	stream uintptr
}

// last ends the context that is open.
var last func()

// open starts the emulator with environment variables NAME=value, or skips the
// test. It ends the context that the previous open created.
func open(t testing.TB, environment ...string) *emulator {
	t.Helper()
	for _, name := range []string{"AHA_EMU_SCHEDULE", "AHA_EMU_CHECK", "AHA_EMU_MEMORY", "AHA_EMU_FAIL"} {
		t.Setenv(name, "")
	}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	lib, err := library()
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	e := &emulator{TB: t, lib: lib}
	if last != nil {
		last()
	}
	runtime.LockOSThread() // the current context belongs to the thread
	e.must("cuInit", 0)
	var context, stream uintptr
	e.must("cuDevicePrimaryCtxRetain", &context, 0)
	e.must("cuCtxSetCurrent", context)
	e.must("cuStreamCreate", &stream, 1)
	e.stream = stream
	last = func() {
		e.must("cuDevicePrimaryCtxRelease_v2", 0)
		runtime.UnlockOSThread()
		last = nil
	}
	t.Cleanup(func() {
		if last != nil {
			last()
		}
	})
	return e
}

// symbols holds addresses of entry points by name.
var symbols sync.Map

// call calls an entry point with integers and pointers, and returns its result
// code.
func (e *emulator) call(name string, args ...any) int {
	symbol, ok := symbols.Load(name)
	if !ok {
		s, err := purego.Dlsym(e.lib, name)
		if err != nil {
			e.Helper()
			e.Fatal(err)
		}
		symbols.Store(name, s)
		symbol = s
	}
	words := make([]uintptr, len(args))
	for i, a := range args {
		switch v := reflect.ValueOf(a); v.Kind() {
		case reflect.Pointer:
			words[i] = v.Pointer()
		case reflect.Int:
			words[i] = uintptr(v.Int())
		default:
			words[i] = uintptr(v.Uint())
		}
	}
	code, _, _ := purego.SyscallN(symbol.(uintptr), words...)
	runtime.KeepAlive(args)
	return int(int32(code))
}

func (e *emulator) want(code int, name string, args ...any) {
	e.Helper()
	if got := e.call(name, args...); got != code {
		e.Fatalf("%s: code %d, want %d: %s", name, got, code, e.text(got))
	}
}

func (e *emulator) must(name string, args ...any) {
	e.Helper()
	e.want(success, name, args...)
}

// expect fails unless code is want and cuGetErrorString's description contains
// text.
func (e *emulator) expect(code, want int, text string) {
	e.Helper()
	if got := e.text(code); code != want || !strings.Contains(got, text) {
		e.Errorf("code %d: %s; want %d with %q", code, got, want, text)
	}
}

// text returns cuGetErrorString's description of code.
func (e *emulator) text(code int) string {
	var text *byte
	e.call("cuGetErrorString", code, &text)
	if text == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return unsafe.String(text, n)
}

// cstring returns s followed by a 0.
func cstring(s string) *byte { return &append([]byte(s), 0)[0] }

// compile compiles a source and returns the image, the log and the result code.
func (e *emulator) compile(source string, options ...string) (image []byte, log string, code int) {
	e.Helper()
	var headers, names []*byte
	for _, name := range []string{"types.cuh", "ptx.cuh"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "kernels", name))
		if err != nil {
			e.Fatal(err)
		}
		headers, names = append(headers, cstring(string(text))), append(names, cstring(name))
	}
	var program uintptr
	text, file := cstring(source), cstring("test.cu")
	e.must("nvrtcCreateProgram", &program, text, file, len(headers), &headers[0], &names[0])
	defer e.must("nvrtcDestroyProgram", &program)
	var flags []*byte
	for _, o := range append([]string{"--gpu-architecture=sm_80"}, options...) {
		flags = append(flags, cstring(o))
	}
	code = e.call("nvrtcCompileProgram", program, len(flags), &flags[0])
	var size uintptr
	e.must("nvrtcGetProgramLogSize", program, &size)
	buf := make([]byte, size)
	e.must("nvrtcGetProgramLog", program, &buf[0])
	log = string(buf[:size-1])
	if code == success {
		e.must("nvrtcGetCUBINSize", program, &size)
		image = make([]byte, size)
		e.must("nvrtcGetCUBIN", program, &image[0])
	}
	runtime.KeepAlive(text)
	runtime.KeepAlive(file)
	return image, log, code
}

// images holds compiled sources by mode, options and text.
var images = map[string][]byte{}

// module compiles and loads a source.
func (e *emulator) module(source string, options ...string) (module uintptr) {
	e.Helper()
	key := fmt.Sprint(os.Getenv("AHA_EMU_CHECK"), options, source)
	image := images[key]
	if image == nil {
		var log string
		var code int
		if image, log, code = e.compile(source, options...); code != success {
			e.Fatalf("compile: code %d\n%s", code, log)
		}
		images[key] = image
	}
	e.must("cuModuleLoadData", &module, &image[0])
	return module
}

func (e *emulator) function(module uintptr, name string) (f uintptr) {
	e.Helper()
	e.must("cuModuleGetFunction", &f, module, cstring(name))
	return f
}

// kernel compiles and loads a source and returns its kernel of the given name.
func (e *emulator) kernel(source, name string) uintptr {
	e.Helper()
	return e.function(e.module(source), name)
}

type dims [3]int

// launch queues the kernel on the stream. args must be uintptr, int32 or
// float32.
func (e *emulator) launch(f uintptr, grid, block dims, shared int, args ...any) {
	e.Helper()
	if code := e.tryLaunch(f, e.stream, grid, block, shared, args...); code != success {
		e.Fatalf("cuLaunchKernel: code %d: %s", code, e.text(code))
	}
}

func (e *emulator) tryLaunch(f, stream uintptr, grid, block dims, shared int, args ...any) int {
	for _, d := range []*dims{&grid, &block} {
		for i := range d {
			d[i] = max(d[i], 1)
		}
	}
	return e.call("cuLaunchKernel", f, grid[0], grid[1], grid[2], block[0], block[1], block[2],
		shared, stream, pack(args), 0)
}

// pack returns an array of pointers to the arguments.
func pack(args []any) **uint64 {
	values, params := make([]uint64, len(args)+1), make([]*uint64, len(args)+1)
	for i, a := range args {
		switch a := a.(type) {
		case uintptr:
			values[i] = uint64(a)
		case int:
			values[i] = uint64(uint32(a))
		case float32:
			values[i] = uint64(math.Float32bits(a))
		default:
			panic(fmt.Sprintf("pack: %T", a))
		}
		params[i] = &values[i]
	}
	return &params[0]
}

// alloc returns n bytes of device memory.
func (e *emulator) alloc(n int) (at uintptr) {
	e.Helper()
	e.must("cuMemAlloc_v2", &at, n)
	return at
}

// upload returns device memory that holds x.
func upload[T any](e *emulator, x []T) uintptr {
	e.Helper()
	n := len(x) * int(unsafe.Sizeof(x[0]))
	at := e.alloc(n)
	e.must("cuMemcpyHtoDAsync_v2", at, &x[0], n, e.stream)
	return at
}

// download returns n elements of device memory after all work of the stream.
func download[T any](e *emulator, at uintptr, n int) []T {
	e.Helper()
	x := make([]T, n)
	e.must("cuMemcpyDtoHAsync_v2", &x[0], at, uintptr(n)*unsafe.Sizeof(x[0]), e.stream)
	return x
}

// sync waits for the stream and returns the result code.
func (e *emulator) sync() int { return e.call("cuStreamSynchronize", e.stream) }

// schedules are values of AHA_EMU_SCHEDULE.
var schedules = []string{"fifo", "reverse", "random:1", "random:2", "random:3"}
