//go:build !linux

package checkpoint

// exchange swaps two folders.
func exchange(temp, dir string) error { return swapInTwo(temp, dir) }
