package backend

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Memory is the device memory that some work needs, in bytes.
type Memory struct {
	Peak int            // the most in use at any time
	By   map[Holder]int // the bytes of each holder at that time
}

// String returns the peak and its holders, the largest first:
//
//	24.1 MiB: optimizer 13.2 MiB, parameters 6.6 MiB, activations 4.3 MiB
func (m Memory) String() string {
	if len(m.Holders()) == 0 {
		return FormatBytes(m.Peak)
	}
	return FormatBytes(m.Peak) + ": " + strings.Join(m.Holders(), ", ")
}

// Holders lists the holders with their bytes, such as "parameters 6.6 MiB", the largest
// first.
func (m Memory) Holders() []string {
	names := slices.SortedFunc(maps.Keys(m.By), func(a, b Holder) int {
		return cmp.Or(cmp.Compare(m.By[b], m.By[a]), cmp.Compare(a, b))
	})
	var list []string
	for _, h := range names {
		if m.By[h] > 0 {
			list = append(list, string(h)+" "+FormatBytes(m.By[h]))
		}
	}
	return list
}

// Fits returns an error with the numbers if b has less free memory than m needs. It
// returns nil if b does not know its memory.
func (m Memory) Fits(b Backend) error {
	total, free := b.MemInfo()
	if total == 0 || m.Peak <= free {
		return nil
	}
	return fmt.Errorf("not enough memory: %s has %s of %s free, want %s", b.Name(), FormatBytes(free),
		FormatBytes(total), m)
}

var byteUnits = []string{"B", "KiB", "MiB", "GiB", "TiB"}

// FormatBytes formats a number of bytes in the largest unit that gives at least 1, such
// as "1.5 GiB".
func FormatBytes(n int) string {
	v, u := float64(n), 0
	for ; v >= 1024 && u < len(byteUnits)-1; u++ {
		v /= 1024
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, byteUnits[u])
}
