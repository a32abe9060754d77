package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl/reward"
)

// asCommand is an environment variable: if it is set, the test binary runs as the command
// r1zero with the scale tiny.
const asCommand = "R1ZERO_TEST_AS_COMMAND"

// tiny is the scale of a run that takes seconds and has every phase of a full run.
var tiny = lab.Scale{
	BaseSteps: 3, BaseTokens: 256, RLSteps: 3, Prompts: 4, Group: 4, MaxTokens: 16,
	Problems: 2, Samples: 16, Slots: 8, SaveEvery: 1, PassAt: 16,
}

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		code := m.Run()
		os.RemoveAll(undisturbed.dir)
		os.Exit(code)
	}
	lab.Full, lab.Quick = tiny, tiny
	lab.Quick.RLSteps = 1
	suite = evenSuite
	moment = 0
	main()
	os.Exit(0)
}

// evenSuite returns a reward that about half of an untrained model's completions get.
func evenSuite() *reward.Suite {
	score := func(_ context.Context, s reward.Sample) reward.Verdict {
		if strings.Count(s.Completion, "1")%2 == 0 {
			return reward.Verdict{Status: reward.Correct, Value: 1}
		}
		return reward.Verdict{Status: reward.Wrong}
	}
	if os.Getenv(badReward) != "" {
		return faultySuite(score)
	}
	return &reward.Suite{Funcs: []reward.Func{{Name: "countdown", Score: score}}}
}

// command returns the command r1zero with args.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// outcome is the output and the exit code of a command.
type outcome struct {
	stdout, stderr string
	code           int
}

func finish(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed {
		t.Fatal(err)
	}
	o := outcome{stdout: stdout.String(), stderr: stderr.String()}
	if failed {
		o.code = exit.ExitCode()
	}
	return o
}

// must runs r1zero -json in the folder out and returns its results.
func must(t *testing.T, out string, args ...string) (outcome, map[string]any) {
	t.Helper()
	return mustFinish(t, command(t, append([]string{"-json", "-out", out}, args...)...))
}

func mustFinish(t *testing.T, c *exec.Cmd) (outcome, map[string]any) {
	t.Helper()
	o := finish(t, c)
	if o.code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", c.Args[1:], o.code, o.stdout, o.stderr)
	}
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var result map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil {
		t.Fatalf("the last line of standard output is not a JSON object: %v\n%s", err, o.stdout)
	}
	return o, result
}

// undisturbed is a run of seed 1 without disturbances, which reference makes once.
var undisturbed struct {
	dir    string
	took   time.Duration
	result map[string]any
}

func reference(t *testing.T) (dir string, result map[string]any) {
	t.Helper()
	if undisturbed.result == nil {
		dir, err := os.MkdirTemp("", "r1zero")
		if err != nil {
			t.Fatal(err)
		}
		undisturbed.dir = dir
		began := time.Now()
		_, undisturbed.result = must(t, dir)
		undisturbed.took = time.Since(began)
	}
	return undisturbed.dir, undisturbed.result
}

// clone returns a copy of the folder of the undisturbed run.
func clone(t *testing.T) string {
	t.Helper()
	from, _ := reference(t)
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var stepTime = regexp.MustCompile(`"step_time":[-+.e0-9]+`)

// wantUndisturbed checks that the results and the records of a run are those of the
// undisturbed run, except for times.
func wantUndisturbed(t *testing.T, what, out string, result map[string]any) {
	t.Helper()
	dir, want := reference(t)
	for name, w := range want {
		if got := result[name]; got != w && name != "out" && !strings.HasSuffix(name, "seconds") {
			t.Errorf("%s: %s is %v, undisturbed %v", what, name, got, w)
		}
	}
	sameRecords(t, what, dir, out)
}

// records lists the files of a run other than its weights.
var records = []string{"config.json", "base/evaluation.json", "base/metrics.jsonl", "grpo/metrics.jsonl",
	"grpo/evaluation.json", "grpo/verdicts.jsonl", "grpo/samples.jsonl", "grpo/alarms.jsonl", "curves.png"}

// sameRecords checks that the records of two runs are the same, except for times.
func sameRecords(t *testing.T, what, want, got string) {
	t.Helper()
	for _, name := range records {
		if stepTime.ReplaceAllString(read(t, want, name), "") != stepTime.ReplaceAllString(read(t, got, name), "") {
			t.Errorf("%s: %s differs from the undisturbed run's", what, name)
		}
	}
}

// The model in the output folder has the final weights and the module of multi-token prediction.
func TestOutputHoldsTheFinishedModel(t *testing.T) {
	dir, result := reference(t)
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, source, err := model.Load(b, filepath.Join(dir, "model"), model.LoadOptions{Modules: func(m *model.Model) error {
		_, err := mtp.New(m)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	sum, err := train.WeightsSHA256(m.Params.All())
	if err != nil || sum != result["weights_sha256"] || len(source.Unclaimed) > 0 {
		t.Errorf("weights %s, want %v; unclaimed %v, error %v", sum, result["weights_sha256"], source.Unclaimed, err)
	}
	tok, err := tokenizer.Load(source.Dir)
	if err != nil {
		t.Fatal(err)
	}
	const text = "19 29 16:32<think>29-19=10"
	if ids, err := tok.Encode(text); err != nil || ids[0] != countdown.BOS || tok.Decode(ids) != "<bos>"+text {
		t.Errorf("the folder's tokenizer gives %v for %q, error %v", ids, text, err)
	}
}

// newest returns the folder of the newest checkpoint in dir.
func newest(t *testing.T, dir string) string {
	t.Helper()
	snapshot, err := checkpoint.Store{Dir: dir}.LatestComplete()
	if err != nil {
		t.Fatal(err)
	}
	return snapshot.Dir
}
