package program_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProgramsOfTheREADMECompile builds every Go block of README.md, each of which is a whole
// program.
func TestProgramsOfTheREADMECompile(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d Go blocks in README.md, want those of training, GRPO and a chat", len(blocks))
	}
	for i, block := range blocks {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "main.go")
			if err := os.WriteFile(file, block[1], 0o666); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), file).CombinedOutput()
			if err != nil {
				t.Errorf("block %d of README.md: %v\n%s", i, err, strings.ReplaceAll(string(out), dir, ""))
			}
			out, err = exec.Command("gofmt", "-l", file).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("block %d of README.md: gofmt would change it: %v\n%s", i, err, out)
			}
		})
	}
}
