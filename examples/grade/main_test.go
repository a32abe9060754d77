package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// grade runs the command with args and the standard input stdin.
func grade(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := program.Command(t, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
	err := c.Run()
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		return out.String(), errs.String(), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// short returns the verdicts and extracted answers of an output, such as "correct 0.5".
func short(t *testing.T, out string) (all []string) {
	t.Helper()
	for text := range strings.Lines(out) {
		var v struct {
			Verdict   string
			Extracted *string
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		s := v.Verdict
		if v.Extracted != nil {
			s += " " + *v.Extracted
		}
		all = append(all, s)
	}
	return all
}

func TestEveryRewardJudgesItsGold(t *testing.T) {
	for _, c := range []struct{ reward, line, want string }{
		{"math", `{"id":1,"gold":"1/2","pred":"so \\boxed{0.5}"}`, "correct 0.5"},
		{"math", `{"id":1,"gold":7,"pred":"\\boxed{7.0}"}`, "correct 7.0"},
		{"math", `{"id":1,"gold":["3","4"],"pred":"\\boxed{4}"}`, "correct 4"},
		{"math", `{"id":1,"gold":"\\frac{","pred":"\\boxed{4}"}`, "not_applicable"},
		{"math", `{"id":1,"gold":"1","pred":"no idea"}`, "unparseable"},
		{"gsm8k", `{"id":1,"gold":"9*2\n#### 1,018.50","pred":"#### $1018.5."}`, "correct 1018.5"},
		{"gsm8k", `{"id":1,"gold":"-3","pred":"#### 3"}`, "wrong 3"},
		{"choice", `{"id":1,"gold":"(b)","pred":"The answer is B."}`, "correct B"},
		{"choice", `{"id":1,"gold":"C","pred":"\\boxed{A or B}"}`, "unparseable"},
		{"countdown", `{"id":1,"gold":{"numbers":[1,3,7],"target":22},"pred":"<answer>3*7+1</answer>"}`, "correct 3*7+1"},
		{"countdown", `{"id":1,"gold":{"numbers":[1,3,7],"target":22},"pred":"<answer>22</answer>"}`, "wrong 22"},
		{"digits", `{"id":1,"gold":{"first":7,"step":1,"modulus":10,"count":2},"pred":"9,0"}`, "correct"},
		{"physics", `{"id":1,"gold":"9.81 m/s^2","pred":"\\boxed{981 cm/s^2}"}`, "correct 981 cm/s^2"},
		{"physics", `{"id":1,"gold":{"want":"10 m","tolerance":0.2},"pred":"\\boxed{11 m}"}`, "correct 11 m"},
		{"physics", `{"id":1,"gold":"10 m","pred":"\\boxed{11 m}"}`, "wrong 11 m"},
		{"language", `{"id":1,"gold":"Han","pred":"你好"}`, "correct"},
		{"language", `{"id":1,"gold":["Latin","Han"],"pred":"hello 你好"}`, "correct"},
		{"language", `{"id":1,"prompt":"What is it?","pred":"你好"}`, "wrong"},
		{"format", `{"id":1,"pred":"<think>a</think><answer>b</answer>"}`, "correct"},
		{"format", `{"id":1,"truncated":true,"pred":"<think>a</think><answer>b</answer>"}`, "wrong"},
		{"format_think", `{"id":1,"pred":"<think>a</think>b"}`, "correct"},
		{"format_lines", `{"id":1,"pred":"<think>a</think>b"}`, "wrong"},
		{"format_tags", `{"id":1,"pred":"<think>\na\n</think>\n<answer>\nb\n</answer>"}`, "correct"},
		{"repetition", `{"id":1,"pred":"` + strings.Repeat("a b ", 30) + `"}`, "wrong"},
		{"code", `{"id":1,"gold":{"language":"python","tests":[{"stdout":"1"}]},"pred":"no program"}`, "unparseable"},
	} {
		out, errs, code := grade(t, c.line, "-reward", c.reward, "-in", "-", "-out", "-")
		if got := short(t, out); code != 0 || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %s: exit code %d, %q, want %q; %s", c.reward, c.line, code, got, c.want, errs)
		}
	}
}

// The verdicts of the cases were compared with those of Math-Verify.
func TestMathVerdictsAreThoseOfTheCases(t *testing.T) {
	f, err := os.Open("../../rl/reward/testdata/math/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in strings.Builder
	var want []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c struct{ Gold, Completion, Verdict string }
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(map[string]any{"id": len(want), "gold": c.Gold, "pred": c.Completion})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
		want = append(want, c.Verdict)
	}
	out, errs, code := grade(t, in.String(), "-reward", "math", "-in", "-", "-out", "-")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	n := 0
	for text := range strings.Lines(out) {
		var v struct {
			ID      int
			Verdict string
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil || n >= len(want) || v.ID != n || v.Verdict != want[n] {
			t.Fatalf("line %d: %v: %s", n, err, text)
		}
		n++
	}
	if n == 0 || n != len(want) {
		t.Errorf("%d verdicts, want %d", n, len(want))
	}
}

func TestAnswersVoteByWhatTheyMean(t *testing.T) {
	in := `{"id":"a","gold":"1/2","preds":["\\boxed{3}","\\boxed{1/2}","\\boxed{3}","\\boxed{0.5}",` +
		`"\\boxed{\\frac{2}{4}}"]}
{"id":"b","gold":"4","preds":["\\boxed{5}","none","\\boxed{4}","\\boxed{5.0}","none"]}
`
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	out, errs, code := grade(t, in, "-reward", "math", "-in", "-", "-out", path, "-json", "-k", "5,2,9")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var s summary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	// For a, pass@2 = 1 − C(2,2)/C(5,2) = 0.9; for b, 1 − C(4,2)/C(5,2) = 0.4. maj@2 uses blocks of 2
	// answers, and the first answer wins ties: it is wrong in both blocks of a, wrong and correct in b.
	if len(s.At) != 2 || s.At[0].K != 2 || math.Abs(s.At[0].Pass-(0.9+0.4)/2) > 1e-12 || *s.At[0].Maj != 0.25 ||
		s.At[1].K != 5 || s.At[1].Pass != 1 || *s.At[1].Maj != 0.5 || s.At[1].Problems != 2 {
		t.Errorf("%s", out)
	}
	if s.Answers != 10 || s.Lines != 2 || *s.Accuracy != 0.4 {
		t.Errorf("%s", out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"a","index":3,"verdict":"correct","extracted":"0.5"}`; strings.Split(string(data), "\n")[3] != want {
		t.Errorf("%s, want %s", data, want)
	}
	// Countdown's answers vote by the numbers that they use and their value; formats have no answers.
	in = `{"id":1,"gold":{"numbers":[1,3,7],"target":22},"preds":["<answer>22</answer>",` +
		`"<answer>1+3+7</answer>","<answer>7+3+1</answer>","<answer>1+7*3</answer>",` +
		`"<answer>3*7+1</answer>","<answer>7*3+1</answer>"]}`
	out, _, _ = grade(t, in, "-reward", "countdown", "-in", "-", "-out", path, "-k", "6")
	if !strings.Contains(out, "pass@6 1.0000, maj@6 1.0000 (1 problems)") {
		t.Error(out)
	}
	out, _, _ = grade(t, `{"id":1,"preds":["a","b"]}`, "-reward", "format", "-in", "-", "-out", path)
	if !strings.Contains(out, "pass@2 0.0000 (1") {
		t.Error(out)
	}
}

func TestBrokenLinesAreNamedAndLeftOut(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	lines := []string{
		"\ufeff" + `{"id":1,"gold":"1","pred":"\\boxed{1}","more":[]}`, "",
		`{"id":2,"gold":"1","pred":`, `[1]`, `{"gold":"1","pred":"1"}`, `{"id":{},"gold":"1","pred":"1"}`,
		`{"id":3,"gold":"1"}`, `{"id":3,"gold":"1","pred":"1","preds":["1"]}`, `{"id":3,"gold":"1","preds":[]}`,
		`{"id":3,"gold":"1","preds":["1",null]}`, `{"id":3,"pred":"1"}`, `{"id":3,"gold":{},"pred":"1"}`,
		`{"id":3,"gold":["1",[]],"pred":"1"}`, "{\"id\":3,\"gold\":\"1\",\"pred\":\"\xff\"}",
		`{"id":3,"gold":"1","pred":"` + strings.Repeat("1", maxLine) + `"}`, `{"id":3,"gold":"1","pred":7}`,
		`{"id":"last","gold":"1","pred":"\\boxed{2}"}`,
	}
	if err := os.WriteFile(in, []byte(strings.Join(lines, "\r\n")), 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := grade(t, "", "-reward", "math", "-in", in, "-out", out)
	if code != exitBroken || !strings.Contains(stdout, "math: 2 answers in 16 lines, 14 of them broken") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	reports := strings.Split(strings.TrimSpace(stderr), "\n")
	if len(reports) != 14 {
		t.Fatalf("%d reports: %s", len(reports), stderr)
	}
	for i, want := range []string{"unexpected end of JSON input", "not a JSON object", `no "id"`, `"id" is neither`,
		`neither "pred" nor`, `both "pred" and "preds"`, `"preds" is empty`, `"preds"[1] is null`, `no "gold"`,
		`"gold" is not a string`, `"gold"[1] is not a string`, "not valid UTF-8",
		"more than 16777216 bytes", "record.pred of type string"} {
		if prefix := fmt.Sprintf("grade: %s: line %d: ", in, i+3); !strings.HasPrefix(reports[i], prefix) ||
			!strings.Contains(reports[i], want) {
			t.Errorf("%q, want %q … %q", reports[i], prefix, want)
		}
	}
	data, err := os.ReadFile(out)
	if got := short(t, string(data)); err != nil || len(got) != 2 || got[0] != "correct 1" || got[1] != "wrong 2" {
		t.Errorf("%v: %s", err, data)
	}

	if err := os.WriteFile(out, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, stderr, code = grade(t, "", "-reward", "math", "-in", in, "-out", out, "-strict")
	if code != 1 || !strings.Contains(stderr, in+": line 3: unexpected end") || strings.Contains(stderr, "line 4") {
		t.Errorf("-strict: exit code %d: %s", code, stderr)
	}
	only(t, dir, "in.jsonl", "out.jsonl")
	if data, err := os.ReadFile(out); err != nil || string(data) != "old" {
		t.Errorf("-strict: %v: %s", err, data)
	}
}

// only checks that a folder has exactly the files want.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %q, want %q", dir, got, want)
	}
}

func TestOrderAndSummaryDoNotDependOnTheCores(t *testing.T) {
	var in strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&in, `{"id":%d,"gold":"%d","preds":["%s\\boxed{%d}","\\boxed{%d}","?"]}`+"\n", i, i%3,
			strings.Repeat("so ", i%97), i%2, i%5)
	}
	var first, counts string
	for _, cores := range []string{"1", "7"} {
		c := program.Command(t, "-reward", "math", "-in", "-", "-out", "-")
		c.Env = append(c.Env, "GOMAXPROCS="+cores)
		var out, errs bytes.Buffer
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader(in.String()), &out, &errs
		if err := c.Run(); err != nil {
			t.Fatal(err, errs.String())
		}
		if first == "" {
			first, counts = out.String(), errs.String()
		}
		if out.String() != first || errs.String() != counts {
			t.Errorf("with %s cores the output differs; %s, want %s", cores, errs.String(), counts)
		}
	}
	if n := strings.Count(first, "\n"); n != 15000 {
		t.Errorf("%d verdicts", n)
	}
}

// A killed command does not change -out, and a command in a pipe writes verdicts before its
// input ends.
func TestPipesAnswerAtOnceAndAKillLeavesNoFile(t *testing.T) {
	for _, out := range []string{"-", filepath.Join(t.TempDir(), "out.jsonl")} {
		c := program.Command(t, "-reward", "choice", "-in", "-", "-out", out)
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(stdin, `{"id":"<a>","gold":"A","pred":"\\boxed{A}"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if out == "-" {
			text, err := bufio.NewReader(stdout).ReadString('\n')
			if want := `{"id":"<a>","verdict":"correct","extracted":"A"}` + "\n"; text != want {
				t.Errorf("%v: %q, want %q", err, text, want)
			}
		} else {
			dir := filepath.Dir(out)
			for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				if entries, err := os.ReadDir(dir); err != nil || time.Since(begun) > time.Minute {
					t.Fatal("nothing is written", err)
				} else if len(entries) == 1 {
					break // the temporary file exists
				}
			}
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		if _, err := os.Stat(out); out != "-" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after a kill there is %s: %v", out, err)
		}
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for want, args := range map[string][]string{
		"-in is missing":               {"-reward", "math", "-out", path},
		"-out is missing":              {"-reward", "math", "-in", "-"},
		`-reward "maths", want one of`: {"-reward", "maths", "-in", "-", "-out", path},
		"no such file":                 {"-reward", "math", "-in", filepath.Join(dir, "none"), "-out", path},
		"is not a regular file":        {"-reward", "math", "-in", "-", "-out", dir},
		`"0" is not a positive number`: {"-reward", "math", "-in", "-", "-out", path, "-k", "1,0"},
		"-timeout 0s":                  {"-reward", "math", "-in", "-", "-out", path, "-timeout", "0s"},
		"standard input: no lines":     {"-reward", "math", "-in", "-", "-out", path},
		"is a directory":               {"-reward", "math", "-in", dir, "-out", path},
		`unexpected argument "x"`:      {"-reward", "math", "-in", "-", "-out", path, "x"},
	} {
		if _, errs, code := grade(t, "\n", args...); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d: %s, want %s", args, code, errs, want)
		}
	}
	only(t, dir)
	if err := os.WriteFile(path, []byte(`{"id":1,"gold":"1","pred":"1"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	_, errs, code := grade(t, "", "-reward", "math", "-in", path, "-out", path)
	if code != 1 || !strings.Contains(errs, "is the file of -in") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	const line = `{"id":1,"gold":{"numbers":[1,2]},"pred":"<answer>1+2</answer>"}`
	_, errs, code = grade(t, line, "-reward", "countdown", "-in", "-", "-out", "-")
	if code != exitBroken || !strings.Contains(errs, `line 1: "gold" has no "target"`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
