//go:build !linux && !noasm

package asm

// allowTiles reports false: only on Linux are tiles known to work in a Go
// program.
func allowTiles() bool { return false }
