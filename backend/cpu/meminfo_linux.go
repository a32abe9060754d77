package cpu

import "golang.org/x/sys/unix"

// MemInfo is the machine's total and free memory in bytes.
func (b *CPU) MemInfo() (total, free int) {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0, 0
	}
	unit := int(info.Unit)
	return int(info.Totalram) * unit, int(info.Freeram) * unit
}
