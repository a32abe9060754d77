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

// folders are the folders of the command line. All files are read through an os.Root of one of
// them, so that paths and symbolic links cannot lead out.
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
	ID   string `json:"id"`   // index of the folder on the command line, and the path below it
	Name string `json:"name"` // path that begins as on the command line
	// Age is the time in seconds since metrics were last written.
	Age float64 `json:"age"`
}

// Limits of the search for runs in each folder.
const (
	maxDepth   = 4
	maxVisited = 20000 // files and folders
)

// runs finds the runs, sorted by folder and then by path. Missing folders have no runs. notes
// say which folders are missing or cannot be read.
func (f folders) runs() (found []runInfo, notes []string) {
	found, notes = []runInfo{}, []string{}
	for i, dir := range f {
		root, err := os.OpenRoot(dir)
		if errors.Is(err, fs.ErrNotExist) {
			notes = append(notes, dir+" does not exist yet")
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

// runsBelow finds the runs in root and sets Name to their paths.
func runsBelow(root *os.Root) (found []runInfo, err error) {
	visited := 0
	var unread []error
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was removed meanwhile
		} else if err != nil {
			unread = append(unread, err)
			return nil
		}
		if visited++; visited > maxVisited {
			return fmt.Errorf("more than %d files: name subfolders of it instead", maxVisited)
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
		// Stat follows symbolic links, unlike d.Info, and fails for links that lead out of root.
		info, err := root.Stat(name)
		if err == nil && info.Mode().IsRegular() {
			found = append(found, runInfo{Name: path.Dir(name), Age: time.Since(info.ModTime()).Seconds()})
		}
		return nil
	})
	return found, errors.Join(append(unread, err)...)
}

// errOutside is the error for a path that is in none of the folders.
var errOutside = errors.New("outside the folders that are served")

// open opens a regular file of the run with an ID.
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
	// Opening a named pipe would block, so check the type first.
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is not a regular file", name, f[i])
	}
	var file *os.File
	if err == nil {
		file, err = root.Open(name)
	}
	// os.Root does not export its error for symbolic links that lead out. It is the only error
	// that is not a system error.
	if _, system := errors.AsType[syscall.Errno](err); err != nil && !system {
		return nil, fmt.Errorf("%w: %w", errOutside, err)
	}
	return file, err
}
