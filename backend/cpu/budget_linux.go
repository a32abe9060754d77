package cpu

import (
	"os"
	"strconv"
	"strings"
)

// machineMemory returns the machine's memory and how much of it is available
// without swapping, in bytes; 0 means unknown.
func machineMemory() (total, available int) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line) // such as "MemTotal:", "24683656", "kB"
		if len(field) < 2 {
			continue
		}
		n, err := strconv.Atoi(field[1])
		if err != nil {
			continue
		}
		switch field[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	return total, available
}
