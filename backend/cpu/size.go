package cpu

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// units are the suffixes of sizes, each 1024 times the one before it.
var units = []string{"B", "KiB", "MiB", "GiB", "TiB"}

// parseSize parses a positive number of bytes such as "8GiB", "512MiB" or
// "1000000", the syntax of GOMEMLIMIT.
func parseSize(s string) (int, error) {
	digits := strings.TrimRight(s, "BKMGTi")
	unit := 0
	if suffix := s[len(digits):]; suffix != "" {
		unit = slices.Index(units, suffix)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 || unit < 0 || n > math.MaxInt>>(10*unit) {
		return 0, fmt.Errorf("%q is not a size: want a number of bytes above 0, such as 8GiB, 512MiB or 1000000", s)
	}
	return int(n) << (10 * unit), nil
}
