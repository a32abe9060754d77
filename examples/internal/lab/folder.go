package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/model/train/run"
)

// The output folder of a run has the base model in base, the GRPO run in grpo, the finished
// model in model, curves.png, and the settings in config.json and base/config.json.

// ModelFolder is the subfolder of the output folder with the finished model, which model.Load
// and transformers read.
const ModelFolder = "model"

// Settle writes all, the settings that determine the result of a run, to config.json in out,
// and base, those that determine the base model, to base/config.json. If the folder has another
// base model, or if resume is set and it has another run, the error lists the differences.
// Without resume an existing GRPO run is set aside.
func Settle(out string, resume bool, base, all any) error {
	config := filepath.Join(out, "config.json")
	if err := os.MkdirAll(filepath.Join(out, "base"), 0o777); err != nil {
		return err
	}
	if resume {
		NoteNothingToResume(config)
		if err := run.Settle(config, all); err != nil {
			return err
		}
	}
	if err := run.Settle(filepath.Join(out, "base", "config.json"), base); err != nil || resume {
		return err
	}
	if err := setAside(out); err != nil {
		return err
	}
	return run.WriteSettings(config, all)
}

// NoteNothingToResume prints that a new run begins if there is no file at config, the settings
// of a run.
func NoteNothingToResume(config string) {
	if _, err := os.Stat(config); errors.Is(err, fs.ErrNotExist) {
		fmt.Printf("nothing to resume in %s: a new run begins\n", filepath.Dir(config))
	}
}

// setAside renames the GRPO run in an output folder, whether it has finished or not, and moves
// its settings, curves and model along. Nothing is deleted. If another process uses the run,
// setAside returns an error.
func setAside(out string) error {
	dir := filepath.Join(out, "grpo")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := run.Lock(dir)
	if err != nil {
		return err
	}
	if err := lock.Close(); err != nil { // Windows cannot rename a folder with open files
		return err
	}
	to := ""
	for i := 1; ; i++ {
		to = fmt.Sprintf("%s-%d", dir, i)
		if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err := os.Rename(dir, to); err != nil {
		return err
	}
	for _, name := range []string{"config.json", "curves.png", ModelFolder} {
		if err := os.Rename(filepath.Join(out, name), filepath.Join(to, name)); err != nil && !errors.Is(err,
			fs.ErrNotExist) {
			return err
		}
	}
	fmt.Printf("the GRPO run in %s is kept as %s\n", dir, to)
	return nil
}
