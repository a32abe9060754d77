//go:build (!amd64 && !arm64) || noasm

package asm

func fmaLoop(n int) int { return fmaLoopGeneric(n) }
