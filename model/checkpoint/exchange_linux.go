package checkpoint

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps two folders in one step, or in two on file systems that do not support
// that.
func exchange(temp, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return swapInTwo(temp, dir)
	}
	return err
}
