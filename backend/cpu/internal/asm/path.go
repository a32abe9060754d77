// Package asm holds the float32 kernels of the CPU backend: matrix products,
// the row kernels of attention, and vector math.
//
// Every kernel has several forms. The portable one, in the file without a
// suffix, is the definition: a plain Go loop. The others, in the files named
// after an architecture, compute the same thing many lanes at a time and fuse
// each multiply and add. [Path] says which set runs; it is fixed when the
// program starts. A set that has no form of its own of a kernel uses the one of
// the next slower set.
//
// # Exactness
//
// Within one path, the arithmetic behind an output element depends only on the
// operation, the reduction length and the element's position in its row. It
// never depends on the number of rows, on how a caller splits work, on
// alignment or on what lies beside the element. A matrix product is one chain
// of multiply-adds in ascending k, or of sums of such chains over groups of k, whose
// length [GemmBF16] and the quantised products say. A row reduction assigns elements to lanes by
// their index, and tails run through the same instructions under a mask. So one
// row computed alone has the bits it has among a thousand.
//
// Paths agree within rounding but not bit for bit: the portable one rounds each
// product before adding it, and lanes are of different number.
//
// # Arguments
//
// Lengths and strides count elements, and strides are not negative. Kernels
// panic when a slice is shorter than its shape needs. An output may be the same
// slice as an input of an elementwise kernel; any other overlap gives undefined
// results.
//
// Kernels run on the calling goroutine, and the scheduler cannot interrupt the
// assembly: a caller with millions of elements hands them over in pieces.
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

// path is the chosen one. Kernels look at the booleans that use sets, in the
// files of their architecture. pathErr says what is wrong with AHA_CPU.
var (
	path    string
	pathErr error
)

func init() {
	var chosen string
	chosen, pathErr = choosePath(os.Getenv("AHA_CPU"), available())
	usePath(chosen)
}

// usePath selects the kernels. Tests switch it to run one suite over each path.
func usePath(name string) {
	path = name
	use(name)
}

// Path names the kernels in use: "amx", "avx512dot", "avx512", "avx2", "neon" or
// "portable". The environment variable AHA_CPU forces one of them; unset or
// empty, the fastest that the build and the processor support is taken.
func Path() string { return path }

// PathErr is an error if AHA_CPU names no path that the build and the processor
// support. The fastest one is in use then.
func PathErr() error { return pathErr }

// Paths lists the paths that the build and the processor support, fastest
// first. The last is "portable".
func Paths() []string { return available() }

// choosePath picks the path for a value of AHA_CPU among those available: with
// an error, the first.
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

// need panics when a slice that a kernel reads or writes is too short.
func need(kernel, name string, have, want int) {
	if have < want {
		panic(fmt.Sprintf("asm: %s: %s has %d elements, needs %d", kernel, name, have, want))
	}
}

// needRows panics when the rows of an output overlap.
func needRows(kernel, name string, rows, cols, stride int) {
	if rows > 1 && stride < cols {
		panic(fmt.Sprintf("asm: %s: %s has rows of %d elements, %d apart", kernel, name, cols, stride))
	}
}

// extent returns how many elements a rows×cols matrix with the given strides
// spans from its first to its last element. It panics on a negative stride, which
// would lead the assembly out of the slice.
func extent(rows, cols, rs, cs int) int {
	if rs < 0 || cs < 0 {
		panic(fmt.Sprintf("asm: strides %d and %d: want 0 or more", rs, cs))
	}
	if rows <= 0 || cols <= 0 {
		return 0
	}
	return (rows-1)*rs + (cols-1)*cs + 1
}
