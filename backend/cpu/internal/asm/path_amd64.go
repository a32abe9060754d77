//go:build !noasm

package asm

import "golang.org/x/sys/cpu"

func haveAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }
