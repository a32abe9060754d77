//go:build !amd64 || noasm

package asm

func readLoop(x []byte) uint64 { return readLoopGeneric(x) }
