package code

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/rl/reward"
)

//go:embed testdata/programs.txt
var programsText string

// pair is one problem of testdata/programs.txt with a right program and an almost right one.
type pair struct {
	name         string
	problem      Problem
	right, wrong string
}

func pairs(t *testing.T) (all []pair) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range strings.Split("\n"+programsText, "\n== ")[1:] {
		head, programs, _ := strings.Cut(text, "\n-- right\n")
		right, wrong, ok := strings.Cut(programs, "\n-- wrong\n")
		if !ok {
			t.Fatalf("%q does not have two programs", head)
		}
		lines := strings.Split(head, "\n")
		language, name, _ := strings.Cut(lines[0], " ")
		p := pair{name: name, right: right + "\n", wrong: wrong + "\n"}
		p.problem.Language = Language(language)
		_, p.problem.Function, _ = strings.Cut(lines[1], " ")
		for _, line := range lines[2:] {
			if value, ok := strings.CutPrefix(line, "tolerance "); ok {
				var err error
				p.problem.Tolerance, err = strconv.ParseFloat(value, 64)
				must(err)
				continue
			}
			in, out, _ := strings.Cut(line, " => ")
			var test Test
			if p.problem.Function != "" {
				test.Args, test.Want = json.RawMessage(in), json.RawMessage(out)
			} else {
				must(json.Unmarshal([]byte(in), &test.Stdin))
				must(json.Unmarshal([]byte(out), &test.Stdout))
			}
			p.problem.Tests = append(p.problem.Tests, test)
		}
		must(p.problem.Validate())
		all = append(all, p)
	}
	return all
}

func fenced(p Problem, program string) string {
	return fmt.Sprintf("<think>so</think>Thus:\n```%s\n%s```\n", p.Language, program)
}

// slack is the time, in addition to its limit, that a busy machine may need to start and to
// end a program.
const slack = 30 * time.Second

// patient returns a Verifier with long limits, for a busy machine.
func patient() *Verifier {
	return &Verifier{Limits: Limits{Wall: time.Minute, CPU: 10 * time.Second}, Total: 2 * time.Minute}
}

// available skips the test if the sandbox or the language is not available.
func available(t *testing.T, language Language) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil && language == Python {
		t.Skip(err)
	}
	p := Problem{Language: language, Tests: []Test{{}}}
	program := "package main\nfunc main() {}\n"
	if language == Python {
		program = "\n"
	}
	v := patient().Score(t.Context(), reward.Sample{Completion: fenced(p, program), Answer: p})
	var none *UnavailableError
	if errors.As(v.Err, &none) {
		t.Skip(none)
	}
	if v.Status != reward.Correct {
		t.Fatalf("the smallest program gives %+v", v)
	}
}

func TestRightAndAlmostRightProgramsAreToldApart(t *testing.T) {
	count := map[string]int{}
	for _, language := range []Language{Python, Go} {
		t.Run(string(language), func(t *testing.T) {
			available(t, language)
			suite := &reward.Suite{Workers: 2, Timeout: 5 * time.Minute, Funcs: []reward.Func{
				{Name: "code", Score: patient().Score},
			}}
			var samples []reward.Sample
			var names []string
			for _, p := range pairs(t) {
				if p.problem.Language == language {
					names = append(names, p.name)
					samples = append(samples, reward.Sample{Completion: fenced(p.problem, p.right), Answer: p.problem},
						reward.Sample{Completion: fenced(p.problem, p.wrong), Answer: p.problem})
				}
			}
			scores, err := suite.Score(t.Context(), samples)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range scores.Verdicts[0] {
				want := []reward.Verdict{{Status: reward.Correct, Value: 1}, {Status: reward.Wrong}}[i%2]
				if v.Status != want.Status || v.Value != want.Value || v.Status == reward.Wrong && v.Err == nil {
					t.Errorf("%s: %+v, want %v", names[i/2], v, want.Status)
				}
				count[want.Status.String()]++
			}
		})
	}
	t.Logf("judged %v", count)
}

func number(n int) Problem {
	return Problem{
		Language: Python,
		Function: "f",
		Tests:    []Test{{Args: json.RawMessage("[]"), Want: json.RawMessage(strconv.Itoa(n))}},
	}
}

func TestHostileProgramsGetAVerdictInTime(t *testing.T) {
	available(t, Python)
	for name, c := range map[string]struct{ program, says string }{
		"exit before the call": {"import sys\nsys.exit(0)", "did not return"},
		"exit in the call":     {"import os\ndef f():\n    os._exit(0)", "did not return"},
		"equals everything":    {"class E(int):\n    def __eq__(self, o): return True\ndef f(): return E(3)", "returns"},
		"replace json": {"import json\njson.dumps = lambda *a, **k: '42 42'\ndef f(): return 1",
			"more than one JSON"},
		"no JSON":      {"def f(): return {1, 2}", "exit status 1"},
		"not a number": {"def f(): return float('nan')", "exit status 1"},
		"overwrite the tests": {"import sys, os\nd = sys.path[0]\nfor n in os.listdir(d):\n    open(d + '/' + n, 'w')",
			"exit status 1"},
		"read the tests": {"import glob\ndef f(): return [p for p in glob.glob('/sandbox/*/*') if '42' in open(p).read()]",
			`returns "[\"/sandbox/program/main.py\"]"`},
		"loop": {"def f():\n    while True: pass", "limit on"},
		"wait": {"import time\ndef f(): time.sleep(600)", "limit on wall time"},
		"threads": {"import threading as t, time\n" +
			"for i in range(10000):\n    t.Thread(target=time.sleep, args=(600,)).start()",
			""},
		"flood":            {"def f():\n    while True: print('x' * 100000)", "limit on output"},
		"allocate":         {"def f(): return len(bytearray(10 << 30))", "exit status 1"},
		"nest":             {"def f():\n    import os\n    os.write(3, b'[' * 500000)\n    os._exit(0)", "no JSON"},
		"huge exponent":    {"def f():\n    import os\n    os.write(3, b'1e999999999')\n    os._exit(0)", "returns"},
		"syntax":           {"def f(:", "SyntaxError"},
		"abort":            {"import os\ndef f(): os.abort()", "signal"},
		"another function": {"def g(): return 42", "exit status 1"},
		"a thread that goes on": {
			"import threading as t, time\ndef f():\n    t.Thread(target=time.sleep, args=(600,)).start()\n    return 42",
			"fine"},
	} {
		v := patient()
		v.Limits.Memory, v.Limits.CPU, v.Partial = 128<<20, 2*time.Second, true
		if name == "wait" || name == "threads" {
			v.Limits.Wall = 2 * time.Second
		}
		begin := time.Now()
		got := v.Score(t.Context(), reward.Sample{Completion: fenced(number(42), c.program+"\n"), Answer: number(42)})
		if took := time.Since(begin); took > v.Limits.Wall+slack {
			t.Errorf("%s took %v", name, took)
		}
		if c.says == "fine" {
			if got.Status != reward.Correct || got.Value != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		} else if got.Status != reward.Wrong || got.Value != 0 || !strings.Contains(got.Err.Error(), c.says) {
			t.Errorf("%s: %+v, want Wrong and %q", name, got, c.says)
		}
	}
}

func TestHostileGoDoesNotCompile(t *testing.T) {
	available(t, Go)
	p := Problem{Language: Go, Tests: []Test{{}}}
	for says, program := range map[string]string{
		`"C" is not in the standard`:            "package main\nimport \"C\"\nfunc main() {}\n",
		`"example.com/x" is not in the standar`: "package main\nimport \"example.com/x\"\nfunc main() {}\n",
		`"-toolexec=x" is not in the standard`:  "package main\nimport \"-toolexec=x\"\nfunc main() {}\n",
		"go:embed":                              "package main\nimport _ \"embed\"\n//go:embed x\nvar s string\n",
		"missing function body":                 "package main\nfunc f()\nfunc main() { f() }\n",
		"expected":                              "package main\nfunc main( {}\n",
		"undeclared":                            "package main\n",
	} {
		v := patient().Score(t.Context(), reward.Sample{Completion: fenced(p, program), Answer: p})
		var e *CompileError
		if v.Status != reward.Wrong || !errors.As(v.Err, &e) || !strings.Contains(v.Err.Error(), says) {
			t.Errorf("%q: %+v, want %q", program, v, says)
		}
	}
}

func TestPartialGivesTheShareOfTestsPassed(t *testing.T) {
	available(t, Python)
	p := Problem{Language: Python, Tests: []Test{
		{Stdin: "1", Stdout: "1"}, {Stdin: "2", Stdout: "4"}, {Stdin: "3", Stdout: "9"}, {Stdin: "0", Stdout: "0"},
	}}
	s := reward.Sample{Completion: fenced(p, "n = int(input())\nprint(n if n < 2 else 4)\n"), Answer: p}
	for partial, want := range map[bool]float64{false: 0, true: 0.75} {
		verifier := patient()
		verifier.Partial = partial
		v := verifier.Score(t.Context(), s)
		var e *TestError
		if v.Status != reward.Wrong || v.Value != want || !errors.As(v.Err, &e) || e.Test != 2 {
			t.Errorf("partial %t: %+v, want %v and test 2", partial, v, want)
		}
	}
}

func TestTotalBoundsAllTests(t *testing.T) {
	available(t, Python)
	p := Problem{Language: Python, Tests: make([]Test, 1000)}
	v := &Verifier{Total: 2 * time.Second, Partial: true}
	begin := time.Now()
	got := v.Score(t.Context(), reward.Sample{Completion: fenced(p, "import time\ntime.sleep(0.6)\n"), Answer: p})
	if took := time.Since(begin); took > v.Total+slack {
		t.Errorf("took %v under a total of %v", took, v.Total)
	}
	var e *LimitError
	if got.Status != reward.Wrong || got.Value > 0.003 || !errors.As(got.Err, &e) || e.Limit != "wall time" {
		t.Errorf("%+v", got)
	}
}

func TestEndOfTheContextIsATimeout(t *testing.T) {
	available(t, Python)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	v := patient().Score(ctx, reward.Sample{Completion: fenced(number(1), "while True: pass\n"), Answer: number(1)})
	if v.Status != reward.Timeout || v.Err == nil {
		t.Errorf("%+v", v)
	}
}

func TestMissingToolsAreErrors(t *testing.T) {
	v := &Verifier{PythonCommand: "/none/python", GoCommand: "/none/go"}
	for _, language := range []Language{Python, Go} {
		p := Problem{Language: language, Tests: []Test{{}}}
		got := v.Score(t.Context(), reward.Sample{Completion: fenced(p, "package main\n"), Answer: p})
		if got.Status != reward.Error || !errors.Is(got.Err, os.ErrNotExist) || !strings.Contains(got.Err.Error(), "/none/") {
			t.Errorf("%s: %+v", language, got)
		}
	}
}

func TestIllFormedProblemsAreErrors(t *testing.T) {
	args, one := json.RawMessage("[1]"), json.RawMessage("1")
	good := []Test{{Args: args, Want: one}}
	for want, answer := range map[string]any{
		"Answer is <nil>":          nil,
		"Language is":              Problem{Language: "perl"},
		"Tests is empty":           Problem{Language: Go},
		"Tolerance is NaN":         Problem{Language: Go, Tests: []Test{{}}, Tolerance: nan()},
		`Function "a.b"`:           Problem{Language: Go, Function: "a.b", Tests: good},
		`Function "main"`:          Problem{Language: Go, Function: "main", Tests: good},
		`Function "f();import os"`: Problem{Language: Python, Function: "f();import os", Tests: good},
		"Tests[1].Args is \"1\"":   Problem{Language: Go, Function: "F", Tests: append(good, Test{Args: one, Want: one})},
		"Tests[0].Want is \"\"":    Problem{Language: Go, Function: "F", Tests: []Test{{Args: args}}},
		"has Stdin or Stdout":      Problem{Language: Go, Function: "F", Tests: []Test{{Args: args, Want: one, Stdin: "x"}}},
		"has Args or Want":         Problem{Language: Go, Tests: []Test{{Args: args}}},
	} {
		v := (&Verifier{}).Score(t.Context(), reward.Sample{Answer: answer})
		if v.Status != reward.Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error with %q", v, want)
		}
	}
	for want, verifier := range map[string]*Verifier{
		"Limits.CPU is -1":     {Limits: Limits{CPU: -1}},
		"Verifier.Total is -1": {Total: -1},
	} {
		v := verifier.Score(t.Context(), reward.Sample{Completion: fenced(number(1), "\n"), Answer: number(1)})
		if v.Status != reward.Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error with %q", v, want)
		}
	}
	v := (&Verifier{}).Score(t.Context(), reward.Sample{Completion: "42", Answer: number(42)})
	if v.Status != reward.Unparseable || v.Err == nil {
		t.Errorf("%+v, want Unparseable", v)
	}
}

func TestArchivesThatAreGoneAreAnErrorOnce(t *testing.T) {
	available(t, Go)
	p := Problem{Language: Go, Tests: []Test{{}}}
	s := reward.Sample{Completion: fenced(p, "package main\nimport _ \"os\"\nfunc main() {}\n"), Answer: p}
	v := patient()
	for i, want := range []reward.Status{reward.Correct, reward.Error, reward.Correct} {
		if i == 1 {
			v.golang.archives["os"] = "/none/os.a"
		}
		if got := v.Score(t.Context(), s); got.Status != want {
			t.Errorf("%d: %+v, want %v", i, got, want)
		}
	}
}
