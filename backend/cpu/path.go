package cpu

import "github.com/aha-go/aha/backend/cpu/internal/asm"

// Path returns the name of the kernel path in use; see asm.Path.
func (b *CPU) Path() string { return asm.Path() }
