//go:build (!amd64 && !arm64) || noasm

package asm

func use(string) {}

func available() []string { return []string{pathPortable} }
