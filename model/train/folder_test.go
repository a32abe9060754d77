package train

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFolderIsTheTrainersUntilClose(t *testing.T) {
	dir := t.TempDir()
	first := newRun(t, AdamW{LR: 1e-3}, dir, 1)
	if err := first.Run(t.Context(), randomText(4)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	second := newRun(t, AdamW{LR: 1e-3}, dir, 2)
	_, err := second.Resume()
	for _, err := range []error{err, second.Run(t.Context(), randomText(4))} {
		if err == nil || !strings.Contains(err.Error(), "train: "+dir+" is in use by this process") {
			t.Errorf("got %v", err)
		}
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the refused Trainer changed the folder: %s", diff)
	}
	mustRun(t, newRun(t, AdamW{LR: 1e-3}, "", 1)) // without a folder there is no lock
	first.Close()
	mustRun(t, second)
}

// A folder that was deleted is created again with a warning, unless another run has locked
// it.
func TestAFolderThatIsDeletedDuringARunIsSaid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var log strings.Builder
	first, second := newRun(t, AdamW{LR: 1e-3}, dir, 4), newRun(t, AdamW{LR: 1e-3}, dir, 4)
	first.Log = slog.New(slog.NewTextHandler(&log, nil))
	remove := func() {
		mustStep(t, first, randomText(4))
		if err := os.RemoveAll(dir); err != nil {
			t.Skip(err) // Windows does not delete open files
		}
	}
	remove()
	if err := first.Save(); err != nil || !strings.Contains(log.String(), "deleted or moved since the run began") {
		t.Errorf("%v, logged %q", err, log.String())
	}
	if _, err := second.Resume(); !says(err, "in use by this process") {
		t.Errorf("the folder made anew is not locked: %v", err)
	}
	remove()
	if _, err := second.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := first.Save(); !says(err, dir+" was deleted or moved") || !says(err, "in use by this process") {
		t.Errorf("saved into another run's folder: %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "step-*")); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// contents returns the files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
