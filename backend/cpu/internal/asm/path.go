// Package asm holds the float32, BF16, FP8 and integer kernels of the CPU
// backend: matrix products, attention over rows and lanes, and vector math.
//
// Every kernel has several implementations. The portable one, in the file
// without an architecture suffix, is the definition: a plain Go loop. The
// others, in the files named after an architecture, compute the same with SIMD
// instructions and fuse each multiplication with its addition. [Path] names the
// set of implementations in use, the kernel path. It does not change after the
// program has started. A path that has no implementation of some kernel uses
// that of the next slower path.
//
// # Exactness
//
// Within one path, the arithmetic of an output element depends only on the
// operation, the reduction length and the element's position in its row. It
// never depends on the number of rows, on how a caller splits the work, on
// alignment or on neighbouring elements. An element of a matrix product is one
// chain of multiply-adds in ascending k, or a chain of sums of such chains over
// groups of k, whose length [GemmBF16] and the quantised products document. A
// row reduction assigns elements to lanes by their index, and tails run through
// the same instructions under a mask. So a row computed alone has the same bits
// as among a thousand rows.
//
// Different paths agree within rounding but not bit for bit: the portable one
// rounds each product before adding it, and the number of lanes differs.
//
// # Arguments
//
// Lengths and strides count elements, and strides must not be negative. Kernels
// panic if a slice is shorter than its shape needs. The output of an elementwise
// kernel may be the same slice as an input; any other overlap gives undefined
// results.
//
// Kernels run on the calling goroutine, and the scheduler cannot interrupt the
// assembly, so callers split work on millions of elements into pieces.
package asm

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The names of the kernel paths, as Path returns and AHA_CPU accepts them.
const (
	pathAMX       = "amx"       // AVX-512 with BF16 and VNNI dot products, and AMX tiles with BF16 and INT8
	pathAVX512Dot = "avx512dot" // AVX-512 with BF16 and VNNI dot products
	pathAVX512    = "avx512"    // AVX-512 F, BW, DQ and VL
	pathAVX2      = "avx2"      // AVX2, FMA and F16C
	pathNEON      = "neon"      // arm64
	pathPortable  = "portable"  // plain Go
)

// path is the one in use. Kernels check the booleans that use sets, in the
// files of their architecture. pathErr is the error in AHA_CPU, if any.
var (
	path    string
	pathErr error
)

func init() {
	var chosen string
	chosen, pathErr = choosePath(os.Getenv("AHA_CPU"), available())
	usePath(chosen)
}

// usePath selects the kernels. Tests use it to run on every path.
func usePath(name string) {
	path = name
	use(name)
}

// Path returns the name of the kernel path in use: "amx", "avx512dot",
// "avx512", "avx2", "neon" or "portable". The environment variable AHA_CPU
// selects one; if it is unset or empty, the path is the fastest that the build
// and the processor support.
func Path() string { return path }

// PathErr returns an error if AHA_CPU is not a path that the build and the
// processor support. In that case the fastest one is in use.
func PathErr() error { return pathErr }

// Paths returns the paths that the build and the processor support, fastest
// first. The last is "portable".
func Paths() []string { return available() }

// choosePath returns the path for a value of AHA_CPU. If that is not among the
// available paths, it returns the first of these and an error.
func choosePath(env string, available []string) (string, error) {
	if env == "" {
		return available[0], nil
	}
	if !slices.Contains(available, env) {
		const text = "AHA_CPU=%q: this processor or build has the paths %s"
		return available[0], fmt.Errorf(text, env, strings.Join(available, ", "))
	}
	return env, nil
}

// need panics if a slice that a kernel reads or writes is too short.
func need(kernel, name string, have, want int) {
	if have < want {
		panic(fmt.Sprintf("asm: %s: %s has %d elements, needs %d", kernel, name, have, want))
	}
}

// needRows panics if the rows of an output overlap.
func needRows(kernel, name string, rows, cols, stride int) {
	if rows > 1 && stride < cols {
		panic(fmt.Sprintf("asm: %s: %s has rows of %d elements, %d apart", kernel, name, cols, stride))
	}
}

// extent returns how many elements a rows×cols matrix with the given strides
// spans from its first to its last element. It panics if a stride is negative,
// since the assembly would then access memory outside of the slice.
func extent(rows, cols, rs, cs int) int {
	if rs < 0 || cs < 0 {
		panic(fmt.Sprintf("asm: strides %d and %d: want 0 or more", rs, cs))
	}
	if rows <= 0 || cols <= 0 {
		return 0
	}
	return (rows-1)*rs + (cols-1)*cs + 1
}
