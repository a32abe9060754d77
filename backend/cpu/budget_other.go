//go:build !linux && !darwin

package cpu

// machineMemory is 0, 0: not known on this system.
func machineMemory() (total, available int) { return 0, 0 }
