//go:build !amd64 || noasm

package asm

func haveAVX2() bool { return false }
