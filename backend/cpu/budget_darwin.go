package cpu

import "golang.org/x/sys/unix"

// machineMemory is the machine's memory in bytes, 0 where unknown. What is
// available is not known.
func machineMemory() (total, available int) {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, 0
	}
	return int(n), 0
}
