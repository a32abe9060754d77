//go:build !noasm

package asm

// Sizes in bytes of a core's first- and second-level data caches, from which
// the block sizes of products are computed.
var cacheL1, cacheL2 = cacheSizes(cpuid)

// The CPUID leaves of Intel and AMD that describe caches, one in each subleaf.
const (
	leafCachesIntel = 4
	leafCachesAMD   = 0x8000_001D
)

// cacheSizes reads the sizes with cpuid. If a processor or its hypervisor
// reports no sizes, or sizes that no AVX-512 processor has, it returns those of
// the smallest such processor.
func cacheSizes(cpuid func(leaf, sub uint32) (eax, ebx, ecx, edx uint32)) (l1, l2 int) {
	var sizes [8]int // by level
	for _, leaf := range []uint32{leafCachesIntel, leafCachesAMD} {
		if last, _, _, _ := cpuid(leaf&0x8000_0000, 0); last < leaf {
			continue
		}
		for sub := range uint32(16) {
			eax, ebx, ecx, _ := cpuid(leaf, sub)
			kind, level := eax&31, eax>>5&7
			if kind == 0 { // no more caches
				break
			}
			if kind == 2 { // an instruction cache
				continue
			}
			line, partitions, ways, sets := ebx&0xFFF+1, ebx>>12&0x3FF+1, ebx>>22+1, ecx+1
			sizes[level] = int(line) * int(partitions) * int(ways) * int(sets)
		}
	}
	return within(sizes[1], 32<<10, 64<<10), within(sizes[2], 512<<10, 4<<20)
}

// within returns n, or least if n is not between least and most.
func within(n, least, most int) int {
	if n < least || n > most {
		return least
	}
	return n
}
