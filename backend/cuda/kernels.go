package cuda

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
	"github.com/aha-go/aha/backend/cuda/internal/nvrtc"
)

//go:embed kernels
var sources embed.FS

// options of the compiler. It must not fuse multiply-adds itself: kernels say
// which are fused, and their bits must not depend on the compiler's version.
var options = []string{"--std=c++17", "--fmad=false"}

// kernels compiles, caches and loads the kernels of a device. Each file is
// compiled when one of its kernels is first launched.
type kernels struct {
	driver   *driver.Driver
	compiler *nvrtc.Compiler
	arch     string
	modules  map[string]driver.Module // by file
	failed   map[string]error         // errors of files that could not be compiled or loaded
	loaded   map[string]*driver.Function
}

// function returns the named kernel of kernels/file.cu.
func (k *kernels) function(file, name string) (*driver.Function, error) {
	if f := k.loaded[name]; f != nil {
		return f, nil
	}
	return k.find(file, strings.Clone(name)) // a copy, since the caller's string may be on its stack
}

// find is function for a kernel that has not been launched before.
func (k *kernels) find(file, name string) (*driver.Function, error) {
	m, ok := k.modules[file]
	if !ok {
		if err := k.failed[file]; err != nil {
			return nil, err
		}
		var err error
		if m, err = k.load(file); errors.Is(err, driver.OutOfMemory) {
			return nil, err // not remembered: there may be memory next time
		} else if err != nil {
			k.failed[file] = err
			return nil, err
		}
		k.modules[file] = m
	}
	f, err := k.driver.ModuleGetFunction(m, name)
	if err != nil {
		return nil, fmt.Errorf("cuda: %s.cu: %w", file, err)
	}
	k.loaded[name] = f
	return f, nil
}

// load compiles kernels/file.cu, unless it is in the cache, and loads it.
func (k *kernels) load(file string) (driver.Module, error) {
	cubin, err := k.cubin(file)
	if err != nil {
		return 0, err
	}
	m, err := k.driver.ModuleLoadData(cubin)
	if err == nil {
		return m, nil
	}
	err = fmt.Errorf("cuda: %s.cu: %w", file, err)
	if c, v := k.compiler, k.driver.Version; c.Major > v/1000 {
		err = fmt.Errorf("%w\nNVRTC %d.%d, %s, is newer than the driver, which supports CUDA %d.%d: "+
			"set AHA_NVRTC to one of CUDA %d", err, c.Major, c.Minor, c.Path, v/1000, v%1000/10, v/1000)
	}
	return 0, err
}

// cubin returns kernels/file.cu compiled, from the user's cache if it is there.
// The name of the cache file includes a hash of everything that the cubin
// depends on.
func (k *kernels) cubin(file string) ([]byte, error) {
	source, headers, err := sourceOf(file)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %d.%d %q\n%s", k.arch, k.compiler.Major, k.compiler.Minor, options, source)
	for _, name := range sortedKeys(headers) {
		fmt.Fprintf(h, "\n%s\n%s", name, headers[name])
	}
	path := ""
	if dir, err := os.UserCacheDir(); err == nil {
		path = filepath.Join(dir, "aha", "cuda", fmt.Sprintf("%s-%s-%x.cubin", file, k.arch, h.Sum(nil)[:12]))
		if cubin, ok := kept(path); ok {
			return cubin, nil
		}
	}
	slog.Info("cuda: compiling kernels", "file", file+".cu", "for", k.arch, "kept", path)
	cubin, _, err := k.compiler.Compile(file+".cu", source, headers, k.arch, options)
	if errors.Is(err, nvrtc.InvalidOption) {
		return nil, fmt.Errorf("cuda: %w\nNVRTC %d.%d, %s, may be too old for the device", err, k.compiler.Major,
			k.compiler.Minor, k.compiler.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	if path != "" {
		keep(path, cubin) // if this fails, the next process compiles again
	}
	return cubin, nil
}

// sourceOf returns the text of kernels/file.cu and of all headers, by name.
func sourceOf(file string) (source string, headers map[string]string, err error) {
	text, err := sources.ReadFile("kernels/" + file + ".cu")
	if err != nil {
		return "", nil, fmt.Errorf("cuda: %w", err)
	}
	entries, err := sources.ReadDir("kernels")
	if err != nil {
		return "", nil, fmt.Errorf("cuda: %w", err)
	}
	headers = map[string]string{"constants.cuh": constants()}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".cuh") {
			text, err := sources.ReadFile("kernels/" + e.Name())
			if err != nil {
				return "", nil, fmt.Errorf("cuda: %w", err)
			}
			headers[e.Name()] = string(text)
		}
	}
	return string(text), headers, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// constants returns the header constants.cuh, which numbers dtypes and
// functions like package backend and defines the sizes that kernels share with
// Go.
func constants() string {
	var b strings.Builder
	b.WriteString("#pragma once\n")
	enumerate(&b, backend.F32, backend.F64, backend.BF16, backend.I32, backend.I8, backend.E4M3, backend.F16, backend.E5M2)
	enumerate(&b, backend.Affine, backend.Clamp, backend.Exp, backend.Log, backend.Sigmoid, backend.Sqrt,
		backend.Reciprocal, backend.Abs, backend.Sign, backend.Tanh, backend.Erf, backend.Log1p)
	enumerate(&b, backend.Add, backend.Sub, backend.Mul, backend.Div, backend.Max, backend.Min,
		backend.Less, backend.LessEqual, backend.Equal)
	enumerate(&b, backend.Sum, backend.SumSquares, backend.ReduceMax)
	fmt.Fprintf(&b, "enum { VocabChunk = %d, MaxExperts = %d, ShortRow = %d };\n",
		backend.VocabChunk, maxExperts, shortRow)
	return b.String()
}

// enumerate writes a C enum of the values, named by their String methods.
func enumerate[E ~uint8](w io.Writer, values ...E) {
	fmt.Fprint(w, "enum {")
	for _, v := range values {
		fmt.Fprintf(w, " %v = %d,", v, uint8(v))
	}
	fmt.Fprintln(w, " };")
}

func (k *kernels) unload() error {
	var errs []error
	for _, m := range k.modules {
		errs = append(errs, k.driver.ModuleUnload(m))
	}
	k.modules, k.loaded = nil, nil
	return errors.Join(errs...)
}
