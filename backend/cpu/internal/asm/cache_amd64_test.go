//go:build !noasm

package asm

import "testing"

func TestCacheSizesFollowCPUID(t *testing.T) {
	type leaf [2]uint32
	// cache returns EAX, EBX and ECX for a cache with lines of 64 bytes.
	cache := func(kind, level, ways, sets uint32) [3]uint32 {
		return [3]uint32{level<<5 | kind, (ways-1)<<22 | 63, sets - 1}
	}
	for _, test := range []struct {
		name   string
		leaves map[leaf][3]uint32
		l1, l2 int
	}{
		{"Intel", map[leaf][3]uint32{
			{0, 0}: {0x20}, {0x8000_0000, 0}: {0x8000_0008},
			{4, 0}: cache(1, 1, 12, 64), {4, 1}: cache(2, 1, 8, 64), {4, 2}: cache(3, 2, 16, 2048),
			{4, 3}: cache(3, 3, 15, 65536),
		}, 48 << 10, 2 << 20},
		{"AMD", map[leaf][3]uint32{
			{0, 0}: {0x10}, {0x8000_0000, 0}: {0x8000_0028},
			{0x8000_001D, 0}: cache(1, 1, 8, 64), {0x8000_001D, 1}: cache(2, 1, 8, 64),
			{0x8000_001D, 2}: cache(3, 2, 8, 2048),
		}, 32 << 10, 1 << 20},
		{"silent", map[leaf][3]uint32{{0, 0}: {1}}, 32 << 10, 512 << 10},
		{"absurd", map[leaf][3]uint32{
			{0, 0}: {4}, {4, 0}: cache(1, 1, 1, 1), {4, 1}: cache(3, 2, 1, 1<<24),
		}, 32 << 10, 512 << 10},
	} {
		l1, l2 := cacheSizes(func(l, sub uint32) (eax, ebx, ecx, edx uint32) {
			r := test.leaves[leaf{l, sub}]
			return r[0], r[1], r[2], 0
		})
		if l1 != test.l1 || l2 != test.l2 {
			t.Errorf("%s: caches of %d and %d bytes, want %d and %d", test.name, l1, l2, test.l1, test.l2)
		}
	}
}
