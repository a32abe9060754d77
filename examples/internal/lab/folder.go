package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/model/train/run"
)

// A run's folder has the base model in base, the GRPO run in grpo, the finished model in
// model, curves.png, and the settings in config.json and base/config.json.

// ModelFolder is where a run's folder has the finished model, as model.Load and
// transformers read it.
const ModelFolder = "model"

// Settle puts what decides the result of a run, all, to config.json in out, and what
// decides its base model to base/config.json. A folder with another base model or, to
// resume, another run is refused, with what differs. Otherwise the GRPO run that is there
// is set aside.
func Settle(out string, resume bool, base, all any) error {
	config := filepath.Join(out, "config.json")
	if err := os.MkdirAll(filepath.Join(out, "base"), 0o777); err != nil {
		return err
	}
	if resume {
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

// setAside moves the GRPO run in an output folder, finished or abandoned, out of
// the way, with its settings, curves and model: nothing is deleted. A folder that another
// program is using stays where it is.
func setAside(out string) error {
	dir := filepath.Join(out, "grpo")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := run.Lock(dir)
	if err != nil {
		return err
	}
	if err := lock.Close(); err != nil { // Windows moves no folder of open files
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
