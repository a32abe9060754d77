//go:build !noasm

package asm

import (
	"sync"

	"golang.org/x/sys/unix"
)

// allowTiles asks the kernel, once, to let all threads of the process use tile
// data and reports whether it does. Linux saves tile data only on request,
// since the alternate signal stack of every thread must have room for it. Go's
// signal stacks do.
var allowTiles = sync.OnceValue(func() bool {
	const (
		requestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData          = 18     // XTILEDATA
	)
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
})
