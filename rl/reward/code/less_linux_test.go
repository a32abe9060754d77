package code

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/code/internal/sandbox/sandboxtest"
)

// refuse is an environment variable that makes the test process refuse namespaces.
const refuse = "AHA_TEST_REFUSE_NAMESPACES"

func TestMain(m *testing.M) {
	if os.Getenv(refuse) != "" {
		if err := sandboxtest.RefuseNamespaces(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func TestLessIsolationIsRefusedOrSaid(t *testing.T) {
	if os.Getenv(refuse) == "" {
		available(t, Python)
		c := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
		c.Env = append(os.Environ(), refuse+"=1")
		out, err := c.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return
	}
	for program, p := range map[string]Problem{
		"print(input())\n": {Language: Python, Tests: []Test{{Stdin: "x", Stdout: "x"}}},
		"package main\nimport \"fmt\"\nfunc main() { var s string; fmt.Scan(&s); fmt.Println(s) }\n": {
			Language: Go, Tests: []Test{{Stdin: "x", Stdout: "x"}}},
	} {
		s := reward.Sample{Completion: fenced(p, program), Answer: p}
		v := patient()
		got := v.Score(t.Context(), s)
		var none *UnavailableError
		if got.Status != reward.Error || !errors.As(got.Err, &none) || !strings.Contains(got.Err.Error(), "namespaces: ") {
			t.Errorf("%s: %+v, want a refusal with its reason", p.Language, got)
		}
		v.AcceptLess = true
		got = v.Score(t.Context(), s)
		var less *IsolationError
		if got.Status != reward.Correct || got.Value != 1 || !errors.As(got.Err, &less) || len(less.Missing) < 2 {
			t.Errorf("%s: %+v, want Correct and what was missing", p.Language, got)
		}
		p.Tests[0].Stdout = "y"
		got = v.Score(t.Context(), s)
		var wrong *TestError
		if got.Status != reward.Wrong || !errors.As(got.Err, &less) || !errors.As(got.Err, &wrong) {
			t.Errorf("%s: %+v, want Wrong, why, and what was missing", p.Language, got)
		}
	}
}
