package cpu_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
)

// A process with an unknown AHA_CPU starts normally; only opening the CPU
// backend fails.
func TestUnknownPathIsAnErrorOfOpen(t *testing.T) {
	const child = "AHA_TEST_CHILD"
	if os.Getenv(child) != "" {
		b, err := backend.Open("cpu")
		fmt.Printf("backend %v, error %v\n", b, err)
		_, err = cpu.New(cpu.Options{})
		fmt.Println("New:", err)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1", "AHA_CPU=foo")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("the system cannot start this binary again: it runs in an emulator")
	}
	if err != nil {
		t.Fatalf("the process ended with %v:\n%s", err, out)
	}
	const why = `cpu: AHA_CPU="foo": this processor or build has the paths `
	for _, want := range []string{`backend <nil>, error backend: Open("cpu"): ` + why, "New: " + why} {
		_, paths, ok := strings.Cut(string(out), want)
		if line, _, _ := strings.Cut(paths, "\n"); !ok || !strings.HasSuffix(line, "portable") {
			t.Errorf("output, want %q and the paths:\n%s", want, out)
		}
	}
}

func TestBadMemoryLimitsAreErrorsOfOpen(t *testing.T) {
	for _, value := range []string{"foo", "8gib", "0", "-1", "1.5GiB", "GiB", "8 GiB", "99999999TiB", "8GiBGiB"} {
		t.Setenv("AHA_MEMORY", value)
		want := fmt.Sprintf("cpu: AHA_MEMORY: %q is not a size: want a number of bytes above 0, such as 8GiB", value)
		if _, err := backend.Open("cpu"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AHA_MEMORY=%s: error %v, want %q", value, err, want)
		}
	}
	t.Setenv("AHA_MEMORY", "")
	const want = "cpu: Options.MemoryLimit is -1, want 0 or more"
	if _, err := cpu.New(cpu.Options{MemoryLimit: -1}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}
