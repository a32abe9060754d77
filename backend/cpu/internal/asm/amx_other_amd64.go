//go:build !linux && !noasm

package asm

// allowTiles reports that no other system is known to let a Go program use tiles.
func allowTiles() bool { return false }
