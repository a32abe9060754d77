package asm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The macros emit bytes. A disassembler shows which instructions these are.
func TestMacrosOfAMXAreTheInstructionsTheyName(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed: ", err)
	}
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Skip("objdump is not installed: ", err)
	}
	version, err := exec.Command(objdump, "--version").Output()
	if err != nil || !strings.Contains(string(version), "GNU") {
		t.Skipf("objdump is not from GNU binutils, whose syntax the test expects: %s %v", version, err)
	}

	// Encodings by register number, and their names in AT&T syntax.
	registers := [...]string{
		0: "rax", 1: "rcx", 2: "rdx", 3: "rbx", 6: "rsi", 7: "rdi",
		8: "r8", 9: "r9", 10: "r10", 11: "r11", 12: "r12", 14: "r14", 15: "r15",
	}
	var macros, want []string
	add := func(macro, instruction string) {
		macros, want = append(macros, macro), append(want, instruction)
	}
	add("TILERELEASE", "tilerelease")
	for base, name := range registers {
		if name != "" && base != 12 {
			add(fmt.Sprintf("LDTILECFG(%d)", base), fmt.Sprintf("ldtilecfg (%%%s)", name))
		}
	}
	for tile := range 8 {
		add(fmt.Sprintf("TILEZERO(%d)", tile), fmt.Sprintf("tilezero %%tmm%d", tile))
	}
	for base, baseName := range registers {
		for index, indexName := range registers {
			if baseName == "" || indexName == "" {
				continue
			}
			tile := (base + 3*index) % 8 // each tile occurs with many pairs of registers
			at, memory := fmt.Sprintf("(%d, %d, %d)", tile, base, index), fmt.Sprintf("(%%%s,%%%s,1)", baseName, indexName)
			add("TILELOAD"+at, fmt.Sprintf("tileloadd %s,%%tmm%d", memory, tile))
			add("TILESTREAM"+at, fmt.Sprintf("tileloaddt1 %s,%%tmm%d", memory, tile))
			add("TILESTORE"+at, fmt.Sprintf("tilestored %%tmm%d,%s", tile, memory))
		}
	}
	for d := range 8 {
		for a := range 8 {
			for b := range 8 {
				if d == a || d == b || a == b {
					continue // not allowed
				}
				at, tiles := fmt.Sprintf("(%d, %d, %d)", d, a, b), fmt.Sprintf("%%tmm%d,%%tmm%d,%%tmm%d", b, a, d)
				add("TDPBF16PS"+at, "tdpbf16ps "+tiles)
				add("TDPBSSD"+at, "tdpbssd "+tiles)
			}
		}
	}

	add("RET", "ret")

	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	header, err := os.ReadFile("amx_amd64.h")
	if err != nil {
		t.Fatal(err)
	}
	write("amx_amd64.h", string(header))
	write("go.mod", "module macros\n")
	write("main.go", "package main\n\nfunc known()\nfunc macros()\n\nfunc main() { known(); macros() }\n")
	// Intel's encoding of TILERELEASE shows whether objdump knows AMX.
	write("macros.s", "#include \"amx_amd64.h\"\n"+
		"TEXT ·known(SB), 4, $0-0\n\tBYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0xC0\n\tRET\n"+
		"TEXT ·macros(SB), 4, $0-0\n\t"+strings.Join(macros, "\n\t")+"\n")
	build := exec.Command(goTool, "build", "-o", "macros", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// disassemble returns the instructions of a function.
	disassemble := func(function string) []string {
		only := "--disassemble=main." + function + ".abi0"
		out, err := exec.Command(objdump, "--no-show-raw-insn", only, filepath.Join(dir, "macros")).Output()
		if err != nil {
			t.Fatalf("objdump: %v", err)
		}
		var list []string
		for line := range strings.Lines(string(out)) {
			if _, instruction, ok := strings.Cut(line, ":\t"); ok {
				list = append(list, strings.Join(strings.Fields(instruction), " "))
			}
		}
		return list
	}
	if got := disassemble("known"); len(got) == 0 || got[0] != "tilerelease" {
		t.Skipf("objdump does not know AMX: it gives %q for TILERELEASE", got)
	}
	got := disassemble("macros")
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Fatalf("%s is %q, want %q", macros[i], got[i:min(i+1, len(got))], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d instructions, want %d", len(got), len(want))
	}
}
