//go:build !linux && !darwin

package cpu

// machineMemory returns 0, 0: the memory is unknown on this system.
func machineMemory() (total, available int) { return 0, 0 }
