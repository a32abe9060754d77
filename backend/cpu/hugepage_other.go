//go:build !linux

package cpu

// adviseHuge does nothing where there is no such advice.
func adviseHuge([]byte) {}

// adviseSmall does nothing where there is no such advice.
func adviseSmall([]byte) {}

// discard does nothing where pages are given back in other ways.
func discard([]byte) {}
