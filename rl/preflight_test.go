package rl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

func TestPreflight(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	before := weights(t, g)
	var out bytes.Buffer
	if err := g.Preflight(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"prompt: 2 tokens [0 2]\n\"go\"", "completion: ", "rewards/sevens: ", "reward: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, out.String())
		}
	}
	if weights(t, g) != before || g.StepCount() != 0 {
		t.Error("preflight changed the run")
	}
	g.Reward.Funcs[0].Score = func(context.Context, reward.Sample) reward.Verdict {
		return reward.Verdict{Status: reward.Error, Err: errors.New("no such compiler")}
	}
	if err := g.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "no such compiler") {
		t.Errorf("a run whose rewards all fail: %v", err)
	}
}

// listing lists the files below dir with their checksums.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(&b, path)
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(&b, "%s %x\n", path, sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// killedRun writes to dir the files of a run that was killed in its third step: a checkpoint
// of step 1, the verdicts of step 2 and an incomplete line.
func killedRun(t testing.TB, dir string) {
	t.Helper()
	g := everything(t, dir, 4)
	mustStep(t, g)
	if err := g.Trainer.Save(); err != nil {
		t.Fatal(err)
	}
	mustStep(t, g)
	f, err := os.OpenFile(filepath.Join(dir, "verdicts.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"version":1,"step":2,"rol`)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	g.Trainer.Close()
}

// A preflight uses the current weights and changes neither them nor the run's folder. A run
// after it gives the same bits as a run without it.
func TestPreflightChangesNothing(t *testing.T) {
	for name, leave := range map[string]func(testing.TB, string){
		"a folder that is not there": func(t testing.TB, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		},
		"a killed run": killedRun,
	} {
		t.Run(name, func(t *testing.T) {
			dir, plain := t.TempDir(), t.TempDir()
			leave(t, dir)
			leave(t, plain)
			shown := everything(t, dir, 4)
			files := listing(t, filepath.Dir(dir))
			sum, settings := weights(t, shown), *shown.Trainer
			for range 2 {
				if err := shown.Preflight(context.Background(), new(bytes.Buffer)); err != nil {
					t.Fatal(err)
				}
			}
			if now := listing(t, filepath.Dir(dir)); now != files {
				t.Errorf("the folder was\n%s\nand is\n%s", files, now)
			}
			if weights(t, shown) != sum || shown.StepCount() != 0 {
				t.Error("the model changed")
			}
			if !reflect.DeepEqual(*shown.Trainer, settings) {
				t.Errorf("the trainer was %+v and is %+v", settings, *shown.Trainer)
			}
			other := everything(t, plain, 4)
			if got, want := mustRun(t, shown), mustRun(t, other); !reflect.DeepEqual(got, want) {
				t.Errorf("metrics differ:\n%v\n%v", got, want)
			}
			if weights(t, shown) != weights(t, other) {
				t.Error("weights differ")
			}
			if verdicts(t, dir) != verdicts(t, plain) {
				t.Error("verdicts differ")
			}
		})
	}
}

func verdicts(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "verdicts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
