package cuda_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestR1ZeroRunsOnTheDevice runs every phase of examples/r1zero with few steps.
// The rollout's log-probabilities equal the trainer's, bit for bit.
func TestR1ZeroRunsOnTheDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("r1zero on the emulator takes a minute")
	}
	emulated(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "r1zero")
	build := exec.Command("go", "build", "-o", program,
		"github.com/aha-go/aha/examples/r1zero")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command(program, "-device", "cuda:0", "-base-steps", "3", "-steps", "1", "-prompts", "4",
		"-out", filepath.Join(dir, "out"), "-json")
	run.Stderr = os.Stderr
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var result struct {
		LogpDiffMax *float64 `json:"logp_diff_max"`
		RLSteps     int      `json:"rl_steps"`
		Base        float64  `json:"base_seconds"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if result.RLSteps != 1 || result.Base <= 0 {
		t.Errorf("%d steps of GRPO, base training took %g s: %s", result.RLSteps, result.Base, lines[len(lines)-1])
	}
	if d := result.LogpDiffMax; d == nil || *d != 0 {
		t.Errorf("logp_diff_max is not 0: %s", lines[len(lines)-1])
	}
}
