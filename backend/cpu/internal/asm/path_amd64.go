//go:build !noasm

package asm

import "golang.org/x/sys/cpu"

// A faster path includes the ones below it.
var useAVX2, useAVX512, useDot, useAMX bool

func use(path string) {
	useAMX = path == pathAMX
	useDot = useAMX || path == pathAVX512Dot
	useAVX512 = useDot || path == pathAVX512
	useAVX2 = useAVX512 || path == pathAVX2
}

func available() []string {
	x := &cpu.X86
	paths := []string{pathPortable}
	if !x.HasAVX2 || !x.HasFMA || !haveF16C() {
		return paths
	}
	paths = append([]string{pathAVX2}, paths...)
	if !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL {
		return paths
	}
	paths = append([]string{pathAVX512}, paths...)
	if !x.HasAVX512BF16 || !x.HasAVX512VNNI {
		return paths
	}
	paths = append([]string{pathAVX512Dot}, paths...)
	if !haveTiles() {
		return paths
	}
	return append([]string{pathAMX}, paths...)
}

// haveF16C reports whether the processor converts between F16 and F32, which
// x/sys/cpu does not report: bit 29 of ECX in leaf 1.
func haveF16C() bool {
	_, _, ecx, _ := cpuid(1, 0)
	return ecx&(1<<29) != 0
}

// cpuid returns the result of CPUID for a leaf and subleaf.
//
//go:noescape
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)
