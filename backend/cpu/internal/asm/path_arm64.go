//go:build !noasm

package asm

var useNEON bool

func use(path string) { useNEON = path == pathNEON }

// available returns NEON without detecting it: every arm64 processor that Go
// supports has it.
func available() []string { return []string{pathNEON, pathPortable} }
