// Package emu builds an emulator of the CUDA driver, NVRTC and cuBLASLt, so that
// tests can run a CUDA backend on machines without a GPU. It is one shared library
// that exports the entry points of all three. Kernels are the same CUDA C++; g++
// compiles them when the program calls nvrtcCompileProgram. The emulator needs Linux
// on x86-64 with g++ and binutils.
//
// Uninitialised memory holds NaN. Streams run their work as late as possible, when
// something waits for it. Accesses to freed memory fault. As on a device, a kernel's
// error is sticky; cuGetErrorString says where it happened. These environment
// variables, which cuInit reads, configure the emulator:
//
//	AHA_EMU_SCHEDULE  order of blocks, threads and streams: fifo, reverse or random:SEED
//	AHA_EMU_CHECK     1 finds races, accesses out of bounds and reads of uninitialised
//	                  memory, and takes about ten times as long
//	AHA_EMU_MEMORY    bytes of device memory, 2 GiB if empty
//	AHA_EMU_FAIL      call:n or call:n:code, separated by commas: the n-th call of that
//	                  entry point since cuInit returns an error, once
//
// Kernels compiled with and without AHA_EMU_CHECK differ, and so does the version
// that nvrtcVersion returns.
//
// Check mode knows the allocations of cuMemAlloc. Within a block that an allocator on
// top of it divides or reuses, it detects races, but neither accesses out of bounds
// nor reads of what the present owner has not written. Unlike the driver's, cuMemFree
// does not wait for queued work, which then faults. A thread that spins until another
// thread writes never ends.
//
// The emulator cannot show races that depend on threads running at the same time
// (blocks run one after the other), register limits, or speed.
package emu

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed src
var source embed.FS

// deviceHeaders are the parts of src that are compiled into kernels.
var deviceHeaders = []string{"abi.h", "device.h", "math.h", "sanitize.h"}

// flags of the compiler for the emulator itself.
var flags = []string{
	"-std=c++17", "-O2", "-g1", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread",
}

// ErrUnsupported means that this machine cannot build the emulator.
var ErrUnsupported = errors.New("emu: the emulator of CUDA cannot be built here")

// Build compiles the emulator into a folder in dir, unless it is there already,
// and returns the path of the library. The error wraps [ErrUnsupported] if the
// system is not supported or g++ is missing.
func Build(dir string) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("%w: it needs linux/amd64, this is %s/%s", ErrUnsupported, runtime.GOOS, runtime.GOARCH)
	}
	for _, tool := range []string{"g++", "addr2line"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: %s is missing (package g++ in Debian, gcc-c++ in Fedora): %v",
				ErrUnsupported, tool, err)
		}
	}
	files, hash, err := collect()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, fmt.Sprintf("emu-%x", hash[:8]))
	library := filepath.Join(folder, "libahaemu.so")
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("emu: %w", err)
	}
	work, err := os.MkdirTemp(folder, "build-")
	if err != nil {
		return "", fmt.Errorf("emu: %w", err)
	}
	defer os.RemoveAll(work)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("emu: %w", err)
		}
	}
	args := append([]string{fmt.Sprintf("-DAHA_EMU_ABI=%#xu", binary.LittleEndian.Uint32(hash[:]))}, flags...)
	args = append(args, "all.cc", "-o", "libahaemu.so", "-ldl")
	command := exec.Command("g++", args...)
	command.Dir = work
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("emu: g++ %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	// Rename the library only when it is complete: other processes may build it
	// too.
	if err := os.Rename(filepath.Join(work, "libahaemu.so"), library); err != nil {
		return "", fmt.Errorf("emu: %w", err)
	}
	return library, nil
}

// collect returns the files to compile by name, and the hash of all. The file
// all.cc includes the others; embedded.inc holds the headers that are compiled
// into kernels.
func collect() (map[string]string, [sha256.Size]byte, error) {
	files := map[string]string{}
	hash := sha256.New()
	fmt.Fprintln(hash, flags)
	var all, embedded strings.Builder
	err := fs.WalkDir(source, "src", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := source.ReadFile(path)
		if err != nil {
			return err
		}
		files[entry.Name()] = string(text)
		fmt.Fprintf(hash, "%s %d\n%s", entry.Name(), len(text), text)
		if strings.HasSuffix(path, ".cc") {
			fmt.Fprintf(&all, "#include %q\n", entry.Name())
		}
		return nil
	})
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("emu: %w", err)
	}
	embedded.WriteString("static const struct { const char *name, *text; } device_headers[] = {\n")
	for _, name := range deviceHeaders {
		fmt.Fprintf(&embedded, "\t{%q, R\"aha_text(%s)aha_text\"},\n", name, files[name])
	}
	embedded.WriteString("};\n")
	files["all.cc"], files["embedded.inc"] = all.String(), embedded.String()
	return files, [sha256.Size]byte(hash.Sum(nil)), nil
}
