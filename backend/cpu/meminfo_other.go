//go:build !linux

package cpu

// MemInfo is 0, 0: not known on this system.
func (b *CPU) MemInfo() (total, free int) { return 0, 0 }
