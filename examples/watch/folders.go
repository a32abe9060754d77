package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// folders are those on the command line. Everything is read through an os.Root of one of
// them, which paths and symbolic links do not leave.
type folders []string

func newFolders(dirs []string) (folders, error) {
	if len(dirs) == 0 {
		return nil, errors.New("name the folders of runs, such as out/r1zero")
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s is a file, want the folder of a run", dir)
		}
	}
	return dirs, nil
}

// runInfo describes a run.
type runInfo struct {
	ID   string `json:"id"`   // number of its folder on the command line, and the path below
	Name string `json:"name"` // path as on the command line
	// Age is the time since the last line of metrics, in seconds.
	Age float64 `json:"age"`
}

// Limits of the search for runs, below each folder.
const (
	maxDepth   = 4
	maxVisited = 20000 // files and folders
)

// runs finds the runs, in the order of the folders and then of paths. Folders that are not
// there have none. notes say what could not be looked at.
func (f folders) runs() (found []runInfo, notes []string) {
	found, notes = []runInfo{}, []string{}
	for i, dir := range f {
		root, err := os.OpenRoot(dir)
		if errors.Is(err, fs.ErrNotExist) {
			notes = append(notes, dir+" is not there yet")
			continue
		}
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		below, err := runsBelow(root)
		root.Close()
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", dir, err))
		}
		for _, r := range below {
			r.ID, r.Name = path.Join(strconv.Itoa(i), r.Name), filepath.Join(dir, r.Name)
			found = append(found, r)
		}
	}
	return found, notes
}

// runsBelow finds the runs in root, named by their paths.
func runsBelow(root *os.Root) (found []runInfo, err error) {
	visited := 0
	var unread []error
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // moved away meanwhile
		} else if err != nil {
			unread = append(unread, err)
			return nil
		}
		if visited++; visited > maxVisited {
			return fmt.Errorf("more than %d files: name folders further down", maxVisited)
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || strings.Count(name, "/") >= maxDepth) {
				return fs.SkipDir
			}
			return nil
		}
		if d.Name() != "metrics.jsonl" {
			return nil
		}
		// Not d.Info, which is of a symbolic link itself: one that leads out is no run.
		info, err := root.Stat(name)
		if err == nil && info.Mode().IsRegular() {
			found = append(found, runInfo{Name: path.Dir(name), Age: time.Since(info.ModTime()).Seconds()})
		}
		return nil
	})
	return found, errors.Join(append(unread, err)...)
}

// errOutside is the error of a path that is in none of the folders.
var errOutside = errors.New("outside of the folders that are served")

// open opens a regular file of the run called id.
func (f folders) open(id, name string) (*os.File, error) {
	number, below, _ := strings.Cut(id, "/")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(f) {
		return nil, fmt.Errorf("run %q: %w", id, errOutside)
	}
	name = path.Join("./"+below, name)
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("run %q: %w", id, errOutside)
	}
	root, err := os.OpenRoot(f[i])
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// A named pipe would block: look before opening.
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is not a regular file", name, f[i])
	}
	var file *os.File
	if err == nil {
		file, err = root.Open(name)
	}
	// os.Root does not export its error of a symbolic link that leads out: it is the one that
	// does not come from the system.
	if _, system := errors.AsType[syscall.Errno](err); err != nil && !system {
		return nil, fmt.Errorf("%w: %w", errOutside, err)
	}
	return file, err
}
