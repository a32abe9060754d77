//go:build !linux

package lab

// ResidentPeak returns the peak resident memory of the process in bytes, or 0 if the system does not
// report it.
func ResidentPeak() int { return 0 }
