//go:build !noasm

package asm

var useNEON bool

func use(path string) { useNEON = path == pathNEON }

// available lists NEON without asking: every arm64 processor that Go runs on has
// it.
func available() []string { return []string{pathNEON, pathPortable} }
