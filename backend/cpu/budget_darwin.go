package cpu

import "golang.org/x/sys/unix"

// machineMemory returns the machine's memory in bytes, or 0 if it is unknown.
// The available memory is always unknown.
func machineMemory() (total, available int) {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, 0
	}
	return int(n), 0
}
