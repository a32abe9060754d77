package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Store holds the checkpoints of one run: Dir/step-000100, Dir/step-000200, … Only one
// process may write to it at a time; others may read.
type Store struct {
	Dir string // created by the first Save

	// Before, unless nil, is called ahead of every operation that changes the disk (op is
	// create, write, sync, syncdir, mkdir, rename or remove). If it returns an error, the
	// operation fails with it. Tests use it to simulate a full disk or a crash at any
	// point.
	Before func(op, path string) error
}

// Snapshot is a verified checkpoint.
type Snapshot struct {
	Step int
	Dir  string                     // directory of the saved files
	Meta map[string]json.RawMessage // the saved metadata

	// Refused are the errors of newer checkpoints that did not verify. Only LatestComplete
	// sets it.
	Refused []error
}

// Path returns the path of a file of the checkpoint.
func (s Snapshot) Path(name string) string { return filepath.Join(s.Dir, name) }

// Save writes the checkpoint of a step: each of files by calling its function, in the order
// of the names, and then the manifest, which includes meta. Everything is written and
// flushed to disk in a hidden directory, which is then renamed, so that the checkpoint
// appears as a whole. On error the hidden directory is removed, and earlier checkpoints are
// not changed.
//
// If there is a complete checkpoint of the same step, it is not overwritten, and the error
// is [fs.ErrExist]. An incomplete one is replaced.
func (s Store) Save(step int, files map[string]func(w io.Writer) error, meta map[string]json.RawMessage) (err error) {
	final := s.path(step)
	d := disk{before: s.Before}
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint: save %s: %w", final, err)
		}
	}()
	if step < 0 {
		return fmt.Errorf("negative step %d", step)
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if !isPlainName(name) || name == ManifestFile {
			return fmt.Errorf("%q cannot name a file of a checkpoint", name)
		}
	}
	_, statErr := os.Lstat(final)
	exists := statErr == nil
	if exists {
		switch _, err := s.verify(step); {
		case err == nil:
			return fs.ErrExist
		case !errors.Is(err, ErrIncomplete):
			return err
		}
	}
	if err := d.mkdir(s.Dir, os.MkdirAll); err != nil {
		return err
	}
	temp := filepath.Join(s.Dir, tempName(filepath.Base(final)))
	defer os.RemoveAll(temp) // no longer exists after the rename; removed after an error or a panic
	if err := d.mkdir(temp, os.Mkdir); err != nil {
		return err
	}
	m := manifest{Format: manifestFormat, Version: manifestVersion, Step: step, Meta: meta, Files: []fileInfo{}}
	for _, name := range names {
		info, err := d.writeSummed(filepath.Join(temp, name), files[name])
		if err != nil {
			return err
		}
		m.Files = append(m.Files, info)
	}
	text, err := m.encode()
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if _, err := d.writeFile(filepath.Join(temp, ManifestFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}, nil); err != nil {
		return err
	}
	if err := d.syncDir(temp); err != nil {
		return err
	}
	if exists {
		if err := d.removeAll(final); err != nil {
			return err
		}
	}
	if err := d.rename(temp, final); err != nil {
		return err
	}
	return d.syncDir(s.Dir)
}

// Verify checks a checkpoint directory against its manifest, including the content of all
// files. The error names the file at fault and wraps [ErrIncomplete].
func Verify(dir string) (Snapshot, error) {
	m, err := readManifest(dir)
	if err != nil {
		return Snapshot{}, err
	}
	if err := m.check(dir, true); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Step: m.Step, Dir: dir, Meta: m.Meta}, nil
}

// verify also checks that the directory's name has the step of the manifest.
func (s Store) verify(step int) (Snapshot, error) {
	snapshot, err := Verify(s.path(step))
	if err == nil && snapshot.Step != step {
		err = fmt.Errorf("checkpoint: %s: %w: its manifest is of step %d", s.path(step), ErrIncomplete, snapshot.Step)
	}
	return snapshot, err
}

// LatestComplete returns the newest checkpoint that verifies, with the errors of newer ones
// that do not. If there is no checkpoint, the error wraps [fs.ErrNotExist]. If there are
// checkpoints but none verifies, the error does not wrap it, so that a run does not start
// from scratch over data that may be recoverable.
func (s Store) LatestComplete() (Snapshot, error) {
	steps, err := s.steps()
	if err != nil {
		return Snapshot{}, err
	}
	if len(steps) == 0 {
		return Snapshot{}, fmt.Errorf("checkpoint: %s has no checkpoint: %w", s.Dir, fs.ErrNotExist)
	}
	var refused []error
	for _, step := range steps {
		snapshot, err := s.verify(step)
		if err == nil {
			snapshot.Refused = refused
			return snapshot, nil
		}
		refused = append(refused, err)
	}
	return Snapshot{}, fmt.Errorf("checkpoint: %s has no complete checkpoint: %w", s.Dir, errors.Join(refused...))
}

// Prune removes all complete checkpoints except the newest keep, oldest first, and the
// leftovers of interrupted saves. Incomplete checkpoints are kept for inspection.
// Completeness is judged by the manifest and the sizes of the files.
func (s Store) Prune(keep int) error {
	if keep < 1 {
		return fmt.Errorf("checkpoint: prune %s: cannot keep %d checkpoints", s.Dir, keep)
	}
	d := disk{before: s.Before}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return fmt.Errorf("checkpoint: prune: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix+stepPrefix) {
			if err := os.RemoveAll(filepath.Join(s.Dir, e.Name())); err != nil {
				return fmt.Errorf("checkpoint: prune: %w", err)
			}
		}
	}
	steps, err := s.steps()
	if err != nil {
		return err
	}
	steps = slices.DeleteFunc(steps, func(step int) bool { return !s.looksComplete(step) })
	for i := len(steps) - 1; i >= keep; i-- {
		if err := d.removeAll(s.path(steps[i])); err != nil {
			return fmt.Errorf("checkpoint: prune: %w", err)
		}
	}
	return nil
}

// KeepOnly removes all complete checkpoints except that of the given step, as Prune does.
func (s Store) KeepOnly(step int) error {
	steps, err := s.steps()
	if err != nil {
		return err
	}
	for _, other := range steps {
		if other != step && s.looksComplete(other) {
			if err := s.Remove(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove removes the checkpoint of a step, complete or not, if there is one.
func (s Store) Remove(step int) error {
	if _, err := os.Lstat(s.path(step)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d := disk{before: s.Before}
	if err := d.removeAll(s.path(step)); err != nil {
		return fmt.Errorf("checkpoint: remove: %w", err)
	}
	return nil
}

// looksComplete judges a checkpoint by its manifest and the sizes of its files.
func (s Store) looksComplete(step int) bool {
	m, err := readManifest(s.path(step))
	return err == nil && m.check(s.path(step), false) == nil
}

const stepPrefix = "step-"

func stepName(step int) string { return fmt.Sprintf(stepPrefix+"%06d", step) }

func (s Store) path(step int) string { return filepath.Join(s.Dir, stepName(step)) }

// steps returns the steps that have a directory, newest first.
func (s Store) steps() ([]int, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var steps []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), stepPrefix)
		if step, err := strconv.Atoi(digits); ok && err == nil && e.Name() == stepName(step) {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	slices.Reverse(steps)
	return steps, nil
}

func (d disk) mkdir(path string, mkdir func(string, os.FileMode) error) error {
	if err := d.step("mkdir", path); err != nil {
		return err
	}
	return mkdir(path, 0o777)
}

// removeAll renames a directory to a hidden name before it deletes its contents, so that a
// partly deleted directory is never visible under its own name.
func (d disk) removeAll(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	hidden := filepath.Join(filepath.Dir(path), tempName(filepath.Base(path)))
	if err := os.Rename(path, hidden); err != nil {
		return err
	}
	return os.RemoveAll(hidden)
}
