package cpu

import "github.com/aha-go/aha/backend/cpu/internal/asm"

// Path names the kernels in use; see asm.Path.
func (b *CPU) Path() string { return asm.Path() }
