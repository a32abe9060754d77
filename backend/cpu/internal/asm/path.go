// Package asm holds the float32 kernels of the CPU backend: matrix products,
// the row kernels of attention, and vector math.
//
// Every kernel has two forms. The portable one, in the file without a suffix,
// is the definition: a plain Go loop. The AVX2+FMA one, in the _amd64 files,
// computes the same thing eight lanes at a time and fuses each multiply and
// add. [Path] says which form runs; it is fixed when the program starts.
//
// # Exactness
//
// Within one path, the arithmetic behind an output element depends only on the
// operation, the reduction length and the element's position in its row. It
// never depends on the number of rows, on how a caller splits work, on
// alignment or on what lies beside the element. A matrix product is one chain
// of multiply-adds in ascending k. A row reduction assigns elements to lanes by
// their index, and tails run through the same instructions under a mask. So one
// row computed alone has the bits it has among a thousand.
//
// The two paths agree within rounding but not bit for bit, since the portable
// one rounds each product before adding it.
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
)

// The names of the kernel paths, as Path returns and AHA_CPU accepts them.
const (
	pathAVX2     = "avx2"
	pathPortable = "portable"
)

// useAVX2 selects the assembly. Tests flip it to run one suite over both paths.
var useAVX2 = mustChoosePath(os.Getenv("AHA_CPU"), haveAVX2()) == pathAVX2

// Path names the kernels in use: "avx2" or "portable". The environment variable
// AHA_CPU forces one of them; unset or empty, the fastest that the build and the
// processor support is taken.
func Path() string {
	if useAVX2 {
		return pathAVX2
	}
	return pathPortable
}

// choosePath picks the path for a value of AHA_CPU.
func choosePath(env string, haveAVX2 bool) (string, error) {
	switch env {
	case "":
		if haveAVX2 {
			return pathAVX2, nil
		}
		return pathPortable, nil
	case pathPortable:
		return pathPortable, nil
	case pathAVX2:
		if !haveAVX2 {
			return "", fmt.Errorf("asm: AHA_CPU=%s: this processor or build has no AVX2 and FMA kernels", env)
		}
		return pathAVX2, nil
	}
	return "", fmt.Errorf("asm: AHA_CPU=%q is unknown: want %q or %q", env, pathAVX2, pathPortable)
}

func mustChoosePath(env string, haveAVX2 bool) string {
	p, err := choosePath(env, haveAVX2)
	if err != nil {
		panic(err)
	}
	return p
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
